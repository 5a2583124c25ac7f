"""Members of the roster that were lost while the others go on: each is counted once, and said.

Who was counted is recorded with the count, in one write: an operator that dies, or sees an older view, counts nobody
twice.
"""

from dataclasses import replace

from pretrain_api import exits
from pretrain_api.nouns import counted, noun
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import World
from pretrain_operator.brain import conditions, failures, roster, world
from pretrain_operator.brain.failures import Verdict
from pretrain_operator.brain.observed import Observed, StageRun, Worker

_NOTHING_TO_DO = "Nothing needs to be done."


def taken_in(
    recorded: PretrainJobStatus, spec: PretrainJobSpec, train: StageRun | None, observed: Observed
) -> PretrainJobStatus:
    """The status with the members that were lost since it was recorded."""
    published = roster.published(observed, train.attempt) if train and train.state == "Running" else None
    if train is None or published is None or published.generation < recorded.world.generation:
        return recorded  # of an older roster, who was counted may be forgotten
    known = set(recorded.world.lost)
    lost = [w for w in roster.members(published, observed) if roster.is_lost(w) and w.uid not in known]
    if not lost:
        return recorded
    summary = recorded.world.model_copy(update={"lost": [*recorded.world.lost, *(w.uid for w in lost)]})
    status = recorded.model_copy(update={"world": summary})
    for worker in lost:
        run = as_run(train, worker)
        if failures.verdict(run, asked_to_stop=False) is Verdict.DISRUPTION:
            status = failures.disrupted(status)
        else:
            status = failures.counted(status, failures.failure(run, observed.now), spec, observed.now)
    reason, message = _said(status, spec, lost, published, observed)
    return conditions.stated(status, conditions.RECOVERING, "True", reason, message, observed.now)


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
    why = first.reason or exits.in_words(first.exit_code or 0)
    who = f"{world.named([w.pod for w in lost])}{where} was lost ({why})."
    who = who[0].upper() + who[1:]
    match world.next_world(status, spec, observed, published.attempt):
        case World() as following if len(following.roster) < len(published.roster):
            how = f"Training goes on with {counted(len(following.roster), 'worker')} until it is replaced."
            return conditions.SHRINKING, f"{who} {how} {_NOTHING_TO_DO}"
        case World():
            return conditions.REPLACING, f"{who} Another worker takes its place. {_NOTHING_TO_DO}"
    return conditions.REPLACING, f"{who} The others wait until it is replaced. {_NOTHING_TO_DO}"
