"""The logs of a job's pods on standard output: what was written so far, by time, then what is being written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pretrain_api import cluster
from pretrain_api.errors import UserError
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import Connection
from pretrain_cli.cluster.followed import READERS, Followed
from pretrain_cli.cluster.log_lines import LogLine, Shown
from pretrain_cli.cluster.log_streams import PodLog
from pretrain_cli.cluster.merging import merged
from pretrain_cli.cluster.pods import JobPod, Wanted, known, pod, previous
from pretrain_cli.standard_error import say


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    stage: str = ""
    worker: int = -1
    rank: int = -1
    previous: bool = False
    tail: int | None = None
    since: datetime | None = None
    follow: bool = False
    colour: bool = False
    timestamps: bool = False
    prefix: bool = True


def print_logs(connection: Connection, name: str, request: Request) -> None:
    """Print them. Raises UserError when there is no such job, or nothing that could be printed."""
    job = jobs.read(connection, name)
    ranks = job["spec"].get("workers", {}).get("processesPerWorker", 1)
    wanted = Wanted(request.stage, request.worker, request.rank, ranks)
    place = f"/api/v1/namespaces/{connection.namespace}/pods"
    pages = connection.pages(place, {"labelSelector": f"{cluster.LABEL_JOB}={name}"})
    pods = [pod(manifest) for page in pages for manifest in page["items"]]
    chosen = [each for each in pods if wanted.has(each)]
    if request.previous:
        chosen = previous(chosen)
    begun = sorted((each for each in chosen if each.has_started), key=lambda each: each.order)
    if not begun and not request.follow:
        raise _nothing(name, request, pods, chosen)
    write = _writer(Shown(request.colour, request.timestamps, request.prefix, request.rank))
    logs = [PodLog(connection, each, request.tail, request.since) for each in begun]
    for log, line in merged(logs, say):
        write(log.pod, line)
    sys.stdout.buffer.flush()
    if request.follow:
        _follow(Followed(connection, name, wanted.has, logs, READERS), write)


def _follow(followed: Followed, write: Callable[[JobPod, LogLine], None]) -> None:
    for item in followed.items():
        if isinstance(item, str):
            say(item)
        else:
            write(item[0].pod, item[1])
            sys.stdout.buffer.flush()


def _writer(shown: Shown) -> Callable[[JobPod, LogLine], None]:
    colours: dict[str, int] = {}

    def write(of: JobPod, line: LogLine) -> None:
        colour = of.worker if of.worker >= 0 else colours.setdefault(of.stage, len(colours))
        text = shown.line(line, of.label, colour)
        if text:
            sys.stdout.buffer.write(text)

    return write


def _nothing(name: str, request: Request, pods: list[JobPod], chosen: list[JobPod]) -> UserError:
    where = f"{jobs.KIND}/{name}"
    if chosen:
        waiting = known(chosen)
        return UserError("no-logs", where, f"{waiting} has not started yet.", f"`pretrain describe {name}` shows why.")
    if not pods:
        what = "it has no pods now: it has not begun, is suspended, or has ended and they were removed."
        return UserError(
            "no-logs", where, what, f"`pretrain describe {name}` shows its last failure and its last lines."
        )
    if request.previous:
        what = "no pod of an attempt before the newest is left."
        return UserError(
            "no-logs", where, what, "Leave --previous out, or see `pretrain describe` for the last failure."
        )
    return UserError("no-logs", where, "no pod of it is meant by these filters.", f"There are: {known(pods)}.")
