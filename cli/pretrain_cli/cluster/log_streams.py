"""The log of one pod, read through the API server, and read on after the connection broke: no line twice, none lost.

An API server hides a kubelet's broken connection: the answer just ends, in the middle of a line perhaps. So an answer's
end is never taken for the log's end before another read has come as far and found nothing new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

from urllib3.exceptions import HTTPError, ReadTimeoutError

from pretrain_api.errors import PretrainError
from pretrain_cli.cluster.connection import NOT_FOUND, ApiRefusal, Connection, ServerError, lines
from pretrain_cli.cluster.log_lines import LogLine, Position, parsed, unread
from pretrain_cli.cluster.pods import JobPod
from pretrain_cli.cluster.watching import Outage, is_passing

_NOT_STARTED = 400
"""HTTP status while a container is being made."""
_SILENT_SECONDS = 15.0
"""After which a followed log is asked for anew: the connection may have died, or others wait for their turn."""
_TRIES = 4


class LogLost(PretrainError):
    """A log cannot be read: its node does not answer."""


class PodLog:
    """A pod's log and how far it was read. `tail` and `since` say where the first read begins."""

    def __init__(
        self, connection: Connection, pod: JobPod, tail: int | None = None, since: datetime | None = None
    ) -> None:
        self.pod = pod
        self.is_gone = False
        """Whether the API server has no such pod any more."""
        self.is_read = False
        """Whether it was read to its end."""
        self._connection = connection
        self._tail, self._since = tail, _time(since) if since else ""
        self._position = Position()
        self._came_as_far = True
        """Whether the last answer reached the last line that was read; a broken one may end before."""
        self._empty_answers = 0
        """How many in a row had nothing: those that broke at once, or of a log that was rotated a moment ago."""
        self._unfinished = b""
        """What stood after the last line break when the last answer ended."""
        self._path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/log"

    def written(self) -> Iterator[LogLine]:
        """What was written up to now and not read yet. Raises LogLost when it cannot be had."""
        failures, outage = 0, Outage()
        while True:
            before = self._position, self._unfinished
            try:
                yield from self._lines(follow=False)
                if (self._position, self._unfinished) == before:
                    if not self._came_as_far:
                        raise ServerError("the answer ends early")
                    self.is_read = self.is_read or self.pod.has_ended
                    return
            except (PretrainError, HTTPError) as error:
                failures = failures + 1 if self._position == before[0] else 1
                if not is_passing(error):
                    raise
                if failures == _TRIES:
                    raise LogLost(self._why(error)) from None
                outage.bear(error, float("inf"))

    def arriving(self, enough: Callable[[], bool]) -> Iterator[LogLine]:
        """What is written from now on, until the container ends, the log is silent, the connection breaks or it is
        enough. Raises LogLost when its node does not answer."""
        try:
            for line in self._lines(follow=True):
                yield line
                if enough():
                    return
        except HTTPError:
            return
        except PretrainError as error:
            if not is_passing(error):
                raise
            raise LogLost(self._why(error)) from None

    def _lines(self, follow: bool) -> Iterator[LogLine]:
        query: dict[str, object] = {"container": self.pod.container, "timestamps": True, "follow": follow}
        if self._position.since:
            query["sinceTime"] = self._position.since
        else:
            query |= {"sinceTime": self._since, "tailLines": self._tail}
        try:
            answer = self._connection.stream(self._path, _SILENT_SECONDS, **query)
        except ApiRefusal as refusal:
            if refusal.status == NOT_FOUND:
                self.is_gone = True
            if refusal.status in (NOT_FOUND, _NOT_STARTED):
                return
            raise
        rest: list[bytes] = []
        newest: deque[LogLine] = deque(maxlen=1)
        try:
            for line in unread(_noted(map(parsed, lines(answer, rest)), newest), self._position):
                self._position = self._position.after(line)
                yield line
        except ReadTimeoutError:
            self._begin_at(answer.headers.get("Date"))
            raise
        finally:
            answer.close()
        if not rest:
            self._begin_at(answer.headers.get("Date"))
        yield from self._last(rest)
        ends = [line.key for line in (*newest, *map(parsed, rest))]
        self._empty_answers = 0 if ends else self._empty_answers + 1
        has_nothing = not self._position.key or self._empty_answers >= _TRIES
        self._came_as_far = self._position.key in ends if ends else has_nothing

    def _begin_at(self, date: str | None) -> None:
        """There was nothing in the tail: from now on every line is wanted, not those of a tail of that later time."""
        if not self._position.key and self._tail is not None and date:
            self._since, self._tail = _time(parsedate_to_datetime(date)), None

    def _last(self, rest: list[bytes]) -> Iterator[LogLine]:
        """The piece of a line at the end of an answer: the program's last words, if it has ended and the answer before
        ended with the very same."""
        unfinished = rest[0] if rest else b""
        if not unfinished or unfinished != self._unfinished or not self.pod.has_ended:
            self._unfinished = unfinished
            return
        for line in unread([parsed(unfinished)], self._position):
            self._position = self._position.after(line)
            yield line

    def _why(self, error: Exception) -> str:
        node = f" on node {self.pod.node}" if self.pod.node else ""
        return f"{self.pod.label}: the log of {self.pod.name}{node} cannot be read: {str(error).splitlines()[0]}"


def _noted(found: Iterator[LogLine], newest: deque[LogLine]) -> Iterator[LogLine]:
    """The lines, the newest one kept."""
    for line in found:
        newest.append(line)
        yield line


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
