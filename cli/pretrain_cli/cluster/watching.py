"""Watching a list: what it holds, then every change, for as long as wanted, whatever happens to the connection."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from urllib3.exceptions import HTTPError

from pretrain_api.errors import PretrainError
from pretrain_cli.cluster.connection import GONE, ApiRefusal, Connection, Json, ServerError, lines

_WATCH_SECONDS = 300
"""After which a watch is begun anew, so that a connection that died silently is noticed."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0
_PATIENCE_SECONDS = 60.0
"""How long an API server may be away before we give up."""


@dataclass(frozen=True)
class Change:
    """What happened. Listed: `objects` is all there is, those that vanished while we did not look are gone."""

    kind: Literal["Listed", "Changed", "Deleted"]
    objects: list[Json] = field(default_factory=list)


class Outage:
    """How long the server has been away; pauses longer and longer, and gives up after a while."""

    def __init__(self) -> None:
        self._began = 0.0
        self._pause = _FIRST_PAUSE_SECONDS

    def over(self) -> None:
        """The server answered."""
        self._began, self._pause = 0.0, _FIRST_PAUSE_SECONDS

    def bear(self, error: Exception, end: float) -> None:
        """Pause before the next try. Raises the error when it has lasted too long."""
        now = time.monotonic()
        self._began = self._began or now
        if now - self._began > _PATIENCE_SECONDS:
            raise error
        threading.Event().wait(max(0.0, min(self._pause, end - now)))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)


def is_passing(error: Exception) -> bool:
    """Whether the error may go away by itself: the server restarts, the network is down for a moment."""
    return isinstance(error, (ServerError, HTTPError)) or getattr(error, "code", "") == "cluster-unreachable"


def watched(connection: Connection, path: str, end: float = float("inf"), **query: object) -> Iterator[Change]:
    """The list at `path` and then its changes, until the monotonic time `end`. The first request's errors are raised."""
    began, outage = False, Outage()
    while time.monotonic() < end or not began:
        try:
            objects: list[Json] = []
            version = ""
            for page in connection.pages(path, query):
                objects += page["items"]
                version = page["metadata"]["resourceVersion"]
            outage.over()
            began = True
            yield Change("Listed", objects)
            yield from _changes(connection, path, version, end, outage, query)
        except (PretrainError, HTTPError) as error:
            if not began or not is_passing(error):
                raise
            outage.bear(error, end)


def _changes(
    connection: Connection, path: str, version: str, end: float, outage: Outage, query: dict[str, object]
) -> Iterator[Change]:
    """Changes after a version, until the list must be read again or time is over."""
    while (left := end - time.monotonic()) > 0:
        seconds = min(_WATCH_SECONDS, left)
        try:
            asked = {**query, "watch": True, "resourceVersion": version, "allowWatchBookmarks": True}
            answer = connection.stream(path, seconds + 1, timeoutSeconds=max(1, round(seconds)), **asked)
            outage.over()
            for line in lines(answer, []):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return  # most often 410: the version is too old
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    yield Change("Deleted" if event["type"] == "DELETED" else "Changed", [event["object"]])
        except ApiRefusal as error:
            if error.status == GONE:
                return
            raise
        except HTTPError as error:
            if time.monotonic() < end:
                outage.bear(error, end)
