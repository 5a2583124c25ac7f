"""A job in a cluster as a source: its object, the figures that its pods report, their logs, and its history where this
machine reaches the job's storage."""

from __future__ import annotations

import collections
import threading
from datetime import UTC, datetime
from typing import Any

from pretrain_api import cluster, step_history
from pretrain_api.errors import PretrainError, UserError
from pretrain_api.types.storage import Storage as StorageSpec
from pretrain_cli.cluster import job_storage, jobs
from pretrain_cli.cluster.connection import Connection
from pretrain_cli.cluster.followed import Followed
from pretrain_cli.cluster.known import Known
from pretrain_cli.cluster.log_lines import rank_of, without_rank
from pretrain_cli.cluster.log_streams import PodLog
from pretrain_cli.cluster.pods import JobPod, pod
from pretrain_cli.cluster.progress import Reports
from pretrain_cli.cluster.waiting import ENDED
from pretrain_cli.watch.news import Look

_FIRST_LINES = 200
"""Of each pod that has written already."""
_READERS = 32
_KEPT_LINES = 5000
"""Until the next look."""


class ClusterJob:
    """The job of a name. Threads of its own follow logs and read the history."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self._name = connection, name
        self._job = jobs.read(connection, name)
        self._uid = self._job["metadata"]["uid"]
        self._known = Known(connection, name=name)
        self._known.follow()
        self._reports = Reports(connection, name)
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._steps: list[dict[str, Any]] = []
        self._note = ""
        for work in (self._follow_logs, self._read_history):
            threading.Thread(target=work, daemon=True).start()

    def look(self) -> Look:
        """What is new."""
        now = [job for job in self._known.jobs() if job["metadata"]["uid"] == self._uid]
        is_gone = self._known.is_listed and not now
        self._job = now[0] if now else self._job
        status = jobs.status(self._job)
        is_over = is_gone or status.state in ENDED
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        steps, self._steps = self._steps, []
        return Look(
            time=datetime.now(UTC),
            name=self._name,
            status=status,
            events=[] if is_over else self._reports.news(),
            steps=steps,
            lines=lines,
            note="the job was deleted" if is_gone else self._note,
            is_over=is_over,
        )

    def _follow_logs(self) -> None:
        try:
            place = f"/api/v1/namespaces/{self._connection.namespace}/pods"
            pages = self._connection.pages(place, {"labelSelector": f"{cluster.LABEL_JOB}={self._name}"})
            pods = [pod(manifest) for page in pages for manifest in page["items"]]
            begun = [PodLog(self._connection, each, _FIRST_LINES) for each in pods if each.has_started]
            for item in Followed(self._connection, self._name, _every, begun, _READERS).items():
                self._lines.append(item if isinstance(item, str) else _line(item[0], item[1].text))
        except PretrainError as error:
            self._note = f"no logs: {error}"

    def _read_history(self) -> None:
        """The steps before the first look, for the plot. A store that this machine does not reach leaves them out."""
        spec = StorageSpec.model_validate(self._job["spec"]["storage"])
        if not job_storage.is_within_reach(spec):
            return
        try:
            storage = job_storage.opened(self._connection, spec)
            self._steps = list(step_history.read_steps(storage, step_history.commits(storage)))
        except UserError as error:
            if error.code == "run-unreadable":
                self._note = str(error)
        except Exception:  # noqa: BLE001 - each store's client has errors of its own, and the view does without
            return


def _every(_: JobPod) -> bool:
    return True


def _line(log: PodLog, text: bytes) -> str:
    rank = rank_of(text)
    where = f"{log.pod.label} rank {rank}" if rank >= 0 else log.pod.label
    return f"{where}  {without_rank(text).decode('utf-8', 'replace')}"
