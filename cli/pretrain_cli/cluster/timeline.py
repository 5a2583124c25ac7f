"""What happened to a job, in order of time: events of it and of its children, and what its status still knows when they are
forgotten, which in Kubernetes is after an hour. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pretrain_api.stages import PHASES
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster.table import age, aligned, moment
from pretrain_cli.display import recovery as words
from pretrain_cli.display.printable import escaped

Json = Mapping[str, Any]
_JOB = "PretrainJob"


@dataclass(frozen=True)
class Event:
    """Something that happened to the job or to one of its children."""

    time: datetime
    first: datetime
    count: int
    kind: str
    name: str
    is_warning: bool
    reason: str
    message: str


def event(manifest: Json) -> Event | None:
    """An event as the API server shows it; None for one without a time."""
    series = manifest.get("series") or {}
    times = [series.get("lastObservedTime"), manifest.get("lastTimestamp"), manifest.get("eventTime")]
    times.append(manifest["metadata"].get("creationTimestamp"))
    last = next((time for time in map(moment, times) if time), None)
    if last is None:
        return None
    about = manifest.get("involvedObject") or {}
    return Event(
        time=last,
        first=moment(manifest.get("firstTimestamp")) or last,
        count=int(series.get("count") or manifest.get("count") or 1),
        kind=str(about.get("kind", "")),
        name=str(about.get("name", "")),
        is_warning=manifest.get("type") == "Warning",
        reason=escaped(str(manifest.get("reason", ""))),
        message=escaped(str(manifest.get("message", "")).strip()),
    )


def is_of(name: str, about: Json) -> bool:
    """Whether an event's object is the job of this name, or a pod or Job that was made for it."""
    kind, other = about.get("kind"), str(about.get("name", ""))
    if kind == _JOB:
        return other == name
    if kind not in ("Pod", "Job") or not other.startswith(f"{name}-"):
        return False
    rest = other[len(name) + 1 :]
    return bool(_WORKER.match(rest) or _PHASE.match(rest))


_WORKER = re.compile(r"w\d+-\d+\Z")
_PHASE = re.compile(
    "("
    + "|".join(f"{s.lower()}-\\d+-({'|'.join(p.name for p in phases)})" for s, phases in PHASES.items())
    + r")(-|\Z)"
)


def facts(status: PretrainJobStatus) -> Iterator[Event]:
    """What the status knows of the past: starts and ends of the stages, the newest checkpoint, failure and recovery, since
    when its conditions hold."""
    for stage in status.stages:
        if stage.start_time:
            yield _fact(stage.start_time, f"{stage.name}Started", "")
        if stage.completion_time:
            yield _fact(stage.completion_time, f"{stage.name}Complete", stage.message)
    if (checkpoint := status.checkpoint) and checkpoint.time:
        yield _fact(checkpoint.time, "Checkpoint", f"step {checkpoint.step}: {checkpoint.uri}")
    recovery = status.recovery
    for failure in dict.fromkeys(filter(None, (recovery.first_failure, recovery.last_failure))):
        if failure.time:
            last = failure.message.strip().splitlines()[-1:]
            yield _fact(failure.time, "Failure", ": ".join([f"{failure.stage} {failure.kind}", *last]), is_warning=True)
    if (last_recovery := recovery.last_recovery) and last_recovery.time:
        yield _fact(last_recovery.time, last_recovery.kind, words.described(last_recovery))
    for condition in status.conditions:
        if condition.last_transition_time:
            yield _fact(condition.last_transition_time, f"{condition.type}={condition.status}", condition.reason)
    if status.completion_time:
        yield _fact(status.completion_time, status.state, "")


def _fact(time: datetime, reason: str, message: str, is_warning: bool = False) -> Event:
    return Event(time, time, 1, _JOB, "", is_warning, reason, message)


def merged(status: PretrainJobStatus, events: Iterable[Event]) -> list[Event]:
    """Events, and before the oldest of the job's own what the status knows: the events tell it from there on."""
    known = list(events)
    oldest = min((event.first for event in known if event.kind == _JOB), default=None)
    early = [fact for fact in facts(status) if oldest is None or fact.time < oldest]
    return sorted([*early, *known], key=lambda event: (event.time, event.first))


def lines(status: PretrainJobStatus, events: Iterable[Event], now: datetime) -> Iterator[str]:
    """The timeline for people, oldest first."""
    ordered = merged(status, events)
    if not ordered:
        return
    yield "\nTimeline"
    rows = [
        [
            age(e.time, now) + (f" (x{e.count} over {age(e.first, e.time)})" if e.count > 1 else ""),
            "!" if e.is_warning else "",
            e.reason,
            "job" if e.kind == _JOB else e.name,
        ]
        for e in ordered
    ]
    for line, each in zip(aligned(rows), ordered, strict=True):
        yield f"  {line}   {' '.join(each.message.split())}"
