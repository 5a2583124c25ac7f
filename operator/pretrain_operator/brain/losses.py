"""Members of the roster that were lost while the others go on: each is counted once, and said.

Who was counted is recorded with the count, in one write: an operator that dies, or sees an older view, counts nobody
twice. The neighbours of a worker that was killed know of it seconds before the machine tells how it ended. They go on
without it at once, and it is counted once that is seen: running out of memory is a failure, and being evicted is none.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from pretrain_api import exits
from pretrain_api.nouns import counted, noun
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import LeftOut
from pretrain_api.world import World
from pretrain_operator.brain import conditions, failures, roster, world
from pretrain_operator.brain.failures import Verdict
from pretrain_operator.brain.observed import Observed, StageRun, Worker

_NOTHING_TO_DO = "Nothing needs to be done."
_DOUBT = timedelta(seconds=15)
"""How long the end of a worker that was left out is waited for. One that is seen to run for longer has lost its
neighbours alone, and is as lost as one that they hear nothing of."""


def taken_in(
    recorded: PretrainJobStatus, spec: PretrainJobSpec, train: StageRun | None, observed: Observed
) -> PretrainJobStatus:
    """The status with the members that were lost since it was recorded."""
    published = roster.published(observed, train.attempt) if train and train.state == "Running" else None
    if train is None or published is None or published.generation < recorded.world.generation:
        return recorded  # of an older roster, who was counted may be forgotten
    status = _settled(recorded, spec, train, observed)
    known = roster.were_lost(status)
    lost = [w for w in roster.members(published, observed) if roster.is_lost(w) and w.uid not in known]
    if not lost:
        return status
    for worker in lost:
        if worker.reason != roster.GONE:
            status = _counted(status, spec, train, worker, observed.now)
    gone = [LeftOut(uid=w.uid, since=observed.now) for w in lost if w.reason == roster.GONE]
    status = _with(status, left_out=[*status.world.left_out, *gone])
    reason, message = _said(status, spec, lost, published, observed)
    return conditions.stated(status, conditions.RECOVERING, "True", reason, message, observed.now)


def seconds_of_doubt(recorded: PretrainJobStatus, now: datetime) -> float | None:
    """Until one of those that were left out is not waited for any more; None: there is none."""
    ends = [each.since + _DOUBT for each in recorded.world.left_out]
    return max(0.0, (min(ends) - now).total_seconds()) if ends else None


def _settled(
    recorded: PretrainJobStatus, spec: PretrainJobSpec, train: StageRun, observed: Observed
) -> PretrainJobStatus:
    """The status with those counted that were left out before and whose end is seen now."""
    seen, status, waits = {w.uid: w for w in observed.workers}, recorded, []
    for each in recorded.world.left_out:
        worker = seen.get(each.uid) or Worker(0, "", each.uid, "Lost", is_alive=False, reason="Deleted")
        runs = roster.is_there(worker) or worker.reason == roster.GONE
        if runs and timedelta() <= observed.now - each.since < _DOUBT:
            waits.append(each)
        else:
            known = replace(worker, state="Lost", reason=roster.SILENT) if runs else worker
            status = _counted(status, spec, train, known, observed.now)
    return _with(status, left_out=waits) if recorded.world.left_out else recorded


def _counted(
    status: PretrainJobStatus, spec: PretrainJobSpec, train: StageRun, worker: Worker, now: datetime
) -> PretrainJobStatus:
    status, run = _with(status, lost=[*status.world.lost, worker.uid]), as_run(train, worker)
    match failures.verdict(run, asked_to_stop=False):
        case Verdict.COMPLETE:
            return status
        case Verdict.DISRUPTION:
            return failures.disrupted(status)
    return failures.counted(status, failures.failure(run, now), spec, now)


def _with(status: PretrainJobStatus, **changes: object) -> PretrainJobStatus:
    return status.model_copy(update={"world": status.world.model_copy(update=changes)})


def as_run(run: StageRun, worker: Worker) -> StageRun:
    """The run as one worker ended it."""
    return replace(
        run,
        state="Lost" if worker.state == "Lost" else "Ended",
        worker=worker.pod,
        node=worker.node,
        exit_code=worker.exit_code,
        outcome=worker.outcome,
        reason=worker.reason,
        last_lines=worker.last_lines,
    )


def waiting(recorded: PretrainJobStatus, spec: PretrainJobSpec, observed: Observed, attempt: int) -> str:
    """What the members that are left wait for, in words; empty while nobody is missing or enough are there."""
    published = roster.published(observed, attempt)
    if published is None or not any(roster.is_lost(w) for w in roster.members(published, observed)):
        return ""
    if world.next_world(recorded, spec, observed, attempt) is not None:
        return ""
    left = sum(roster.is_there(w) for w in roster.members(published, observed))
    return (
        f"{counted(left, 'worker')} of the last roster {noun(left, 'waits', 'wait')} for others, as at least "
        f"{world.fewest(recorded, spec)} must train; new ones are started. {_NOTHING_TO_DO}"
    )


def _said(
    status: PretrainJobStatus, spec: PretrainJobSpec, lost: list[Worker], published: World, observed: Observed
) -> tuple[str, str]:
    first = lost[0]
    where = f" on node {first.node}" if first.node else ""
    is_gone = first.reason == roster.GONE
    why = "its program is gone" if is_gone else first.reason or exits.in_words(first.exit_code or 0)
    who = f"{world.named([w.pod for w in lost])}{where} was lost ({why})."
    who = who[0].upper() + who[1:]
    match world.next_world(status, spec, observed, published.attempt):
        case World() as following if len(following.roster) < len(published.roster):
            how = f"Training goes on with {counted(len(following.roster), 'worker')} until it is replaced."
            return conditions.SHRINKING, f"{who} {how} {_NOTHING_TO_DO}"
        case World():
            return conditions.REPLACING, f"{who} Another worker takes its place. {_NOTHING_TO_DO}"
    return conditions.REPLACING, f"{who} The others wait until it is replaced. {_NOTHING_TO_DO}"
