"""The recorded state of a job as text, for `pretrain status`. Pure."""

from collections.abc import Iterator
from datetime import datetime

from pretrain_api.types import PretrainJob
from pretrain_api.types.status import StageStatus
from pretrain_cli.display import recovery as words
from pretrain_cli.display import story
from pretrain_cli.display.printable import printable
from pretrain_cli.display.wording import duration, give_or_take, trained

_AT_REST = ("Suspended", "Succeeded", "Failed")
"""States that are recorded when nothing runs any more."""


def lines(job: PretrainJob, runner: int, now: datetime, *, is_seen: bool = True) -> Iterator[str]:
    """The state of a job. `runner`: number of the process that runs it on this machine now; 0 when none does. `is_seen`:
    whether one on another machine would be seen, too, as in a folder that both lock."""
    job = printable(job)
    status = job.status
    is_idle = not runner and is_seen and status.state not in _AT_REST
    yield f"{job.metadata.name}: {'interrupted while ' if is_idle else ''}{status.state}"
    yield f"storage     {job.spec.storage.uri}"
    if runner:
        yield f"run by      process {runner}"
    elif status.state not in ("Succeeded", "Failed"):
        yield f"run by      nobody{'' if is_seen else ' on this machine'}: `pretrain run` goes on where it was"
    if status.start_time:
        seconds = ((status.completion_time or now) - status.start_time).total_seconds()
        since = f"ended after {duration(seconds)}" if status.completion_time else f"{duration(seconds)} ago"
        yield f"started     {status.start_time:%Y-%m-%d %H:%M:%S} UTC, {since}"
    yield ""
    for stage in status.stages:
        yield f"  {stage.name:<10} {stage.state:<9} {_detail(stage)}".rstrip()
    yield ""
    progress = status.progress
    if progress.update_time:
        yield (
            f"training    step {progress.step}/{progress.total_steps}, loss {progress.loss or '-'}, "
            f"{', '.join(trained(progress))}"
        )
        if progress.estimated_completion_time and status.state == "Training" and runner:
            within = give_or_take(0, progress.completion_error_seconds)
            yield f"ends about  {progress.estimated_completion_time:%Y-%m-%d %H:%M:%S} UTC{within}"
    if status.checkpoint:
        yield f"checkpoint  step {status.checkpoint.step}"
    if status.goodput_ratio:
        yield f"goodput     {status.goodput_ratio}"
    recovery = status.recovery
    if tally := words.tally(recovery):
        yield f"recovery    {tally}"
    if recovery.last_recovery:
        yield f"            {words.described(recovery.last_recovery)}"
    if recovery.last_failure:
        yield f"last        {recovery.last_failure.stage}: {recovery.last_failure.kind}"
        yield from (f"            {line}" for line in recovery.last_failure.message.splitlines()[-3:])
    summary = next((c for c in status.conditions if c.type == "Succeeded"), None)
    if summary and status.state in ("Failed", "Suspended", "Succeeded"):
        yield ""
        yield summary.message


def _detail(stage: StageStatus) -> str:
    seconds = story.seconds(stage)
    parts = [duration(seconds) if seconds else "", stage.message.splitlines()[0] if stage.message else ""]
    return "  ".join(part for part in parts if part)
