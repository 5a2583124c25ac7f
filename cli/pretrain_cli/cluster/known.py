"""The jobs that there are, kept up to date by a watch in a thread of its own while others look at them."""

import threading

from pretrain_api.errors import PretrainError
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import Connection, Json


class Known:
    """The jobs that a watch has told of so far."""

    def __init__(self, connection: Connection, selector: str = "", name: str = "") -> None:
        self._connection, self._selector, self._name = connection, selector, name
        self._jobs: dict[str, Json] = {}
        self._lock = threading.Lock()
        self._fault: PretrainError | None = None
        self.is_listed = False
        """Whether the cluster has answered."""

    def follow(self) -> None:
        """Begin to take in changes, until the program ends."""
        threading.Thread(target=self._take_in, daemon=True).start()

    def jobs(self) -> list[Json]:
        """All that there are now. Raises the fault that ended the watch."""
        if self._fault is not None:
            raise self._fault
        with self._lock:
            return list(self._jobs.values())

    def _take_in(self) -> None:
        try:
            for change in jobs.changes(self._connection, self._name, self._selector):
                with self._lock:
                    if change.kind == "Listed":
                        self._jobs.clear()
                    for job in change.objects:
                        uid = job["metadata"]["uid"]
                        if change.kind == "Deleted":
                            self._jobs.pop(uid, None)
                        else:
                            self._jobs[uid] = job
                self.is_listed = True
        except PretrainError as error:
            self._fault = error
