"""Following the logs of all pods of a job, those of later attempts too, until the job ends.

A fixed number of readers. While there are enough of them, each follows one pod; when there are more pods, they read
the pods in turns. Only the caller's thread prints.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from pretrain_api import cluster
from pretrain_api.errors import PretrainError
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import Connection
from pretrain_cli.cluster.log_lines import LogLine
from pretrain_cli.cluster.log_streams import LogLost, PodLog
from pretrain_cli.cluster.pods import JobPod, pod
from pretrain_cli.cluster.waiting import ENDED
from pretrain_cli.cluster.watching import watched

READERS = 128
_PAUSE_SECONDS = 0.5
"""Between two reads of the same pod."""
_PAUSE_WHEN_LOST_SECONDS = 5.0
_FIRST_WAIT_SECONDS = 1.0
"""After a job's end, for news of its pods that are on their way."""
_LAST_WAIT_SECONDS = 30.0
"""For pods that still write after their job ended: one on a lost node never ends."""
_LOOK_SECONDS = 0.2
_QUEUED_LINES = 10_000

Item = tuple[PodLog, LogLine] | str
"""A line, or a note for people."""


class Followed:
    """The pods of a job that are followed. `begun`: logs that were read already, which go on where they were."""

    def __init__(
        self, connection: Connection, name: str, is_wanted: Callable[[JobPod], bool], begun: list[PodLog], readers: int
    ) -> None:
        self._connection, self._name, self._is_wanted, self._readers = connection, name, is_wanted, readers
        self._logs = {log.pod.uid: log for log in begun}
        self._pods: dict[str, JobPod] = {log.pod.uid: log.pod for log in begun}
        self._open: set[str] = set()
        """UIDs of pods that have more to read, or may have."""
        self._due: queue.PriorityQueue[tuple[float, str]] = queue.PriorityQueue()
        self._lines: queue.Queue[Item | Exception] = queue.Queue(_QUEUED_LINES)
        self._lock = threading.Lock()
        self._threads = 0
        self._stopped = threading.Event()
        self._job_ended = 0.0
        """Monotonic time at which the job was seen ended."""
        self._pods_known = False
        self._told_lost: set[str] = set()
        for each in list(self._pods.values()):
            self._take(each)

    def items(self) -> Iterator[Item]:
        """Lines as they arrive, and notes, until the job has ended and its pods have nothing more to say."""
        for watch in (self._watch_pods, self._watch_job):
            threading.Thread(target=self._guarded, args=(watch,), daemon=True).start()
        try:
            while True:
                try:
                    item = self._lines.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    if self._is_over():
                        return
                    continue
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self._stopped.set()

    def _is_over(self) -> bool:
        if not self._job_ended or not self._pods_known:
            return False
        waited = time.monotonic() - self._job_ended
        with self._lock:
            is_quiet = not self._open and waited > _FIRST_WAIT_SECONDS
            return (is_quiet or waited > _LAST_WAIT_SECONDS) and self._lines.empty()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Errors end the command with their message, not a thread in silence."""
        try:
            work()
        except PretrainError as error:
            self._put(error)

    def _watch_pods(self) -> None:
        place = f"/api/v1/namespaces/{self._connection.namespace}/pods"
        for change in watched(self._connection, place, labelSelector=f"{cluster.LABEL_JOB}={self._name}"):
            if self._stopped.is_set():
                return
            seen = [pod(manifest) for manifest in change.objects]
            for each in seen:
                self._take(each)
            if change.kind == "Listed":
                here = {each.uid for each in seen}
                self._vanished([uid for uid in self._pods if uid not in here])
                self._pods_known = True
            elif change.kind == "Deleted":
                self._vanished([each.uid for each in seen])

    def _watch_job(self) -> None:
        for change in jobs.changes(self._connection, self._name):
            if self._stopped.is_set():
                return
            for job in change.objects if change.kind != "Deleted" else []:
                ended = _state(job) in ENDED
                self._job_ended = (self._job_ended or time.monotonic()) if ended else 0.0
            if change.kind == "Deleted" or not change.objects:
                self._job_ended = self._job_ended or time.monotonic()
                self._put(f"{self._name}: the job was deleted")
                return

    def _take(self, each: JobPod) -> None:
        """A pod was seen: read it if it is wanted, has begun to write and is new."""
        with self._lock:
            self._pods[each.uid] = each
            is_new = each.uid not in self._logs
            if not each.has_started or not self._is_wanted(each) or (not is_new and each.uid in self._open):
                return
            if is_new:
                self._logs[each.uid] = PodLog(self._connection, each)
            elif self._logs[each.uid].is_read:
                return
            self._open.add(each.uid)
            self._due.put((time.monotonic(), each.uid))
            wanted = min(self._readers, len(self._open))
            new, self._threads = max(0, wanted - self._threads), max(wanted, self._threads)
        for _ in range(new):
            threading.Thread(target=self._guarded, args=(self._read_in_turns,), daemon=True).start()

    def _vanished(self, uids: list[str]) -> None:
        """Pods that are gone have ended; what is in flight from them still arrives."""
        with self._lock:
            for uid in uids:
                if uid in self._logs:
                    self._logs[uid].is_gone = True

    def _read_in_turns(self) -> None:
        while not self._stopped.is_set():
            try:
                due, uid = self._due.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            pause = self._read(uid)
            if pause is not None:
                self._due.put((time.monotonic() + pause, uid))

    def _read(self, uid: str) -> float | None:
        """Read a pod for a while; gives when to read on, None when it was read to its end."""
        log = self._logs[uid]
        # Asked before reading: what was written before the end is then read for certain.
        log.pod = self._pods[uid]
        ended = log.pod.has_ended or log.is_gone
        arriving = log.written() if ended or self._is_crowded() else log.arriving(self._is_crowded)
        try:
            for line in arriving:
                self._put((log, line))
        except LogLost as error:
            if uid not in self._told_lost:
                self._told_lost.add(uid)
                self._put(str(error))
            if not log.is_gone:
                return _PAUSE_WHEN_LOST_SECONDS
        if not ended:
            return _PAUSE_SECONDS
        with self._lock:
            log.is_read = True
            self._open.discard(uid)
        return None

    def _is_crowded(self) -> bool:
        return len(self._open) > self._readers or self._stopped.is_set()

    def _put(self, item: Item | Exception) -> None:
        while not self._stopped.is_set():
            try:
                self._lines.put(item, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return


def _state(job: dict[str, Any]) -> str:
    return str((job.get("status") or {}).get("state", ""))
