"""All jobs beside each other, for `pretrain top`: what each is worth a look for, in which order, and their sum. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from pydantic.alias_generators import to_camel

from pretrain_api.errors import UserError
from pretrain_api.nouns import counted
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import Json
from pretrain_cli.cluster.table import age, moment
from pretrain_cli.cluster.waiting import ENDED
from pretrain_cli.display.wording import number, per_second

UNREADABLE = "Unreadable"
"""The state of a job whose status nobody can read."""


@dataclass(frozen=True)
class Row:
    """One job."""

    namespace: str
    name: str
    state: str
    done_ratio: float
    """Of training's steps; before its first one 0, after it 1."""
    progress: str
    """Steps, or the stage at work."""
    loss: str
    tokens_per_second: int
    """0 while nothing trains, and where samples are images."""
    images_per_second: float
    """0 while nothing trains, and where samples are sequences of tokens."""
    ready: int
    workers: int
    goodput_ratio: float | None
    seconds_left: float | None
    """Of training; None where nobody knows."""
    incidents: int
    """Failures and disruptions since the job began."""
    last_incident: str
    """What it was, with its age."""
    age_seconds: float


def row(job: Mapping[str, Any], status: PretrainJobStatus, now: datetime) -> Row:
    """A job's row."""
    progress, world, recovery = status.progress, status.world, status.recovery
    created = moment(job["metadata"].get("creationTimestamp"))
    left = None
    if status.state == "Training" and progress.estimated_completion_time:
        left = max(0.0, (progress.estimated_completion_time - now).total_seconds())
    trained = any(stage.name == "Train" and stage.state == "Complete" for stage in status.stages)
    ratio = progress.step / progress.total_steps if progress.total_steps else 0.0
    return Row(
        namespace=job["metadata"]["namespace"],
        name=job["metadata"]["name"],
        state=status.state,
        done_ratio=1.0 if trained else min(1.0, ratio),
        progress=_progress(status),
        loss=progress.loss,
        tokens_per_second=progress.tokens_per_second or 0,
        images_per_second=0.0 if progress.tokens else number(progress.samples_per_second) or 0.0,
        ready=world.ready,
        workers=world.workers,
        goodput_ratio=number(status.goodput_ratio),
        seconds_left=left,
        incidents=recovery.failures + recovery.disruptions,
        last_incident=_last_incident(status, now),
        age_seconds=(now - created).total_seconds() if created else 0.0,
    )


def row_of(job: Json, now: datetime) -> Row:
    """A job's row. Of one whose status nobody can read that is said, and the others are shown."""
    try:
        return row(job, jobs.status(job), now)
    except UserError as error:
        return replace(row(job, PretrainJobStatus(), now), state=UNREADABLE, last_incident=error.what)


def _progress(status: PretrainJobStatus) -> str:
    if status.progress.total_steps and status.state not in ("Evaluating", "Exporting", "Reporting"):
        return f"{status.progress.step}/{status.progress.total_steps}"
    done = sum(stage.state == "Complete" for stage in status.stages)
    return f"{done}/{len(status.stages)} stages" if status.stages else ""


def _last_incident(status: PretrainJobStatus, now: datetime) -> str:
    """The newest of the last failure and the last recovery."""
    told = []
    if failure := status.recovery.last_failure:
        where = f" on {failure.node}" if failure.node else ""
        told.append((failure.time, f"{failure.stage} {failure.kind}{where}"))
    if recovery := status.recovery.last_recovery:
        told.append((recovery.time, f"{recovery.kind}, {recovery.seconds} s"))
    known = [(time, text) for time, text in told if time is not None]
    if not known:
        return ""
    time, text = max(known)
    return f"{text}, {age(time, now)} ago"


_URGENT = (UNREADABLE, "Failed", "Stalled", "Recovering", "Pending", "Queued", "Suspended")
"""States that somebody may have to look at, the most urgent first."""


def _urgency(state: str) -> tuple[int, str]:
    """Least for what is most urgent; jobs that are done come last."""
    if state in _URGENT:
        return _URGENT.index(state), state
    return len(_URGENT) + (state == "Succeeded"), state


SORT_KEYS: Mapping[str, tuple[Callable[[Row], Any], str]] = {
    "name": (lambda row: (row.namespace, row.name), "namespace and name"),
    "state": (lambda row: _urgency(row.state), "most urgent"),
    "progress": (lambda row: -row.done_ratio, "furthest"),
    "tokens": (lambda row: (-row.tokens_per_second, -row.images_per_second), "fastest"),
    "workers": (lambda row: -row.workers, "largest"),
    "goodput": (lambda row: (row.goodput_ratio is None, row.goodput_ratio), "worst"),
    "eta": (lambda row: (row.seconds_left is None, row.seconds_left), "soonest"),
    "incidents": (lambda row: -row.incidents, "most"),
    "age": (lambda row: row.age_seconds, "youngest"),
}
"""What rows are sorted by, and what then stands first. The first letter is the key in the live view."""


def ordered(rows: Iterable[Row], key: str, reverse: bool) -> list[Row]:
    """The rows by a key, by name where it is equal."""
    by_name, by_key = SORT_KEYS["name"][0], SORT_KEYS[key][0]
    return sorted(sorted(rows, key=by_name), key=by_key, reverse=reverse)


def document(rows: Sequence[Row]) -> Json:
    """The rows and their sum for programs, by the names that fields of the API have."""
    values = [{to_camel(name): value for name, value in asdict(row).items()} for row in rows]
    return {"summary": summary(rows), "jobs": values}


def summary(rows: Sequence[Row]) -> str:
    """The fleet in a line: 3 jobs (2 Training, 1 Stalled), 12 of 16 workers, 1.2 M tokens/s."""
    counts = Counter(row.state for row in rows)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    working = [row for row in rows if row.state not in ENDED]
    parts = [counted(len(rows), "job") + (f" ({states})" if states else "")]
    if workers := sum(row.workers for row in working):
        parts.append(f"{sum(row.ready for row in working)} of {counted(workers, 'worker')}")
    if speed := sum(row.tokens_per_second for row in working):
        parts.append(per_second(speed, "tokens"))
    if images := sum(row.images_per_second for row in working):
        parts.append(per_second(images, "images"))
    return ", ".join(parts)
