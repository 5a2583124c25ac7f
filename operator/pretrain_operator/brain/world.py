"""Who trains together: a roster of workers, published under a number and replaced by the next one.

Each start of the training stage is an attempt, with workers of its own. Its first roster is published when its workers
run. A member that is lost is left out of the next roster at once, and workers that come later are taken in. A member whose
machine goes soon trains until another can take its place. Membership is decided here and nowhere else.

Nobody waits until a member that was left out is gone, as it has to be before another attempt begins: a roster trains
only while all its members follow it, and the log of checkpoints refuses what is left of an older one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pretrain_api.nouns import counted, noun
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import LeftOut
from pretrain_api.types.status import World as Summary
from pretrain_api.world import Member, World
from pretrain_operator.brain import conditions, roster
from pretrain_operator.brain.observed import Observed, StageRun, Worker

PATIENCE_SECONDS = 30.0
"""How long the fewest workers that can train wait for the others before the first roster."""
SETTLE_SECONDS = 5.0
"""How long those that came later wait for more of them, so that training changes over once for all."""


def planned(recorded: PretrainJobStatus, spec: PretrainJobSpec, attempt: int, most: int) -> PretrainJobStatus:
    """The status at a start of training: as many workers are wanted as there may be."""
    return _summarized(recorded, recorded.world.generation, max(1, min(spec.workers.max, most)), 0)


def gang(recorded: PretrainJobStatus, observed: Observed, train: StageRun | None) -> PretrainJobStatus:
    """The status with the world of the training stage's newest start, as far as it is seen."""
    if train is None:
        return recorded
    known, wanted = recorded.world, recorded.world.workers or 1
    if observed.world is None and not observed.workers:  # one program, whose every start is a world
        return _summarized(recorded, train.attempt, wanted, wanted if train.state == "Running" else 0)
    published = roster.published(observed, train.attempt)
    counting = roster.members(published, observed) if published else observed.workers
    ready = sum(w.state == "Running" for w in counting)
    newest, lost = observed.world.generation if observed.world else 0, tuple(known.lost)
    if published and newest > known.generation:  # those that are long gone need not be known any more
        there = {w.uid for w in (*counting, *observed.workers)}
        lost = tuple(uid for uid in lost if uid in there)
    return _summarized(recorded, max(known.generation, newest), wanted, min(ready, wanted), lost, known.left_out)


def with_spares(recorded: PretrainJobStatus, spec: PretrainJobSpec) -> int:
    """How many workers are to be there: those that train, and those that wait, ready, to take a lost one's place."""
    return recorded.world.workers + (spec.workers.spares if roster.is_elastic(spec) else 0)


def is_whole(recorded: PretrainJobStatus, spec: PretrainJobSpec, observed: Observed, attempt: int) -> bool:
    """Whether every worker that an attempt begins with was started. Once there is a roster, they were."""
    return bool(roster.published(observed, attempt)) or len(observed.workers) >= with_spares(recorded, spec)


def next_world(
    recorded: PretrainJobStatus, spec: PretrainJobSpec, observed: Observed, attempt: int
) -> World | float | None:
    """The roster to publish; or the seconds to wait for more workers; None when there is nothing to do but wait."""
    published = roster.published(observed, attempt)
    if published:
        return _following(recorded, spec, observed, published)
    if observed.world and observed.world.attempt > attempt:
        return None
    return _first(recorded, spec, observed, attempt)


def fewest(recorded: PretrainJobStatus, spec: PretrainJobSpec) -> int:
    """The fewest workers that may train."""
    return min(spec.workers.min, recorded.world.workers)


def _first(
    recorded: PretrainJobStatus, spec: PretrainJobSpec, observed: Observed, attempt: int
) -> World | float | None:
    running = sorted((w for w in observed.workers if _can_join(w)), key=lambda w: (bool(w.notice), w.worker))
    wanted = recorded.world.workers
    size = _greatest_size(spec, min(len(running), wanted))
    if size < fewest(recorded, spec):
        return None
    if size < wanted and (left := _patience(running, spec.workers.min, observed.now)) > 0:
        return left
    runs = f"{size} of {counted(wanted, 'worker')} {noun(size, 'runs', 'run')}."
    is_planned = conditions.condition(recorded, conditions.RECOVERING).status != "True"
    chosen = [_member(w) for w in running[:size]]
    return _world(recorded, observed, attempt, chosen, runs if attempt > 1 else "Training begins.", is_planned)


def _following(
    recorded: PretrainJobStatus, spec: PretrainJobSpec, observed: Observed, published: World
) -> World | float | None:
    """The roster after one of the same attempt: without those that were lost, with those that came later.

    Members keep their order, so that the leader stays if it can. A worker that would not let a larger number of them
    train stays outside, ready to take the place of a lost one. Whose machine goes soon is the last to be taken.
    """
    members = roster.members(published, observed)
    if not roster.goes_on(members):
        return None
    lost = {w.uid: w for w in members if roster.is_lost(w)}
    were_lost = roster.were_lost(recorded)
    joiners = [w for w in roster.others(published, observed) if _can_join(w) and w.uid not in were_lost]
    candidates = [*(w for w in members if w.uid not in lost), *joiners]
    wanted = recorded.world.workers
    size = _greatest_size(spec, min(len(candidates), wanted))
    leaving = roster.leaving(published, observed)
    taken = {w.uid for w in sorted(candidates, key=lambda w: w.uid in leaving)[:size]}
    chosen, known = [w for w in candidates if w.uid in taken], {m.uid for m in published.roster}
    is_better = size > len(known) or (size == len(known) and taken != known)
    if size < fewest(recorded, spec) or not (lost or is_better):
        return None
    lasting = sum(w.uid not in leaving for w in candidates)
    if not lost and lasting < wanted and (left := _settling(joiners, observed.now)) > 0:
        return left
    relieved = [w for w in members if w.uid not in lost and w.uid not in taken]
    who = [w.pod for w in (*lost.values(), *relieved)] or [w.pod for w in chosen if w.uid not in known]
    what = "lost" if lost else f"relieved ({relieved[0].notice})" if relieved else "joined"
    reason = f"{named(who)} {what}; {size} of {counted(wanted, 'worker')} train."
    is_planned = all(w.is_alive for w in lost.values())
    return _world(recorded, observed, published.attempt, [_member(w) for w in chosen], reason, is_planned)


def named(pods: Sequence[str]) -> str:
    """The first of several workers, for messages."""
    more = len(pods) - 1
    return f"worker {pods[0]}" + (f" and {more:,} {noun(more, 'other')}" if more else "")


def _can_join(worker: Worker) -> bool:
    return worker.state == "Running" and bool(worker.address)


def _member(worker: Worker) -> Member:
    return Member(worker=worker.worker, pod=worker.pod, uid=worker.uid, address=worker.address)


def _world(
    recorded: PretrainJobStatus, observed: Observed, attempt: int, chosen: Sequence[Member], reason: str, planned: bool
) -> World:
    # What was published is known from the status too, should somebody have deleted it.
    before = max(recorded.world.generation, observed.world.generation if observed.world else 0)
    return World(
        generation=before + 1,
        attempt=attempt,
        roster=tuple(chosen),
        leader=chosen[0].address,
        reason=reason,
        planned=planned,
    )


def _greatest_size(spec: PretrainJobSpec, most: int) -> int:
    """The most workers whose ranks the fully sharded groups divide."""
    processes, shard = spec.workers.processes_per_worker, spec.training.parallelism.shard
    return next((n for n in range(most, 0, -1) if n * processes % shard == 0), 0)


def _patience(running: Sequence[Worker], fewest: int, now: datetime) -> float:
    """Seconds still to wait for more workers, from the moment when the fewest ran."""
    since = sorted(w.started or now for w in running)[min(fewest, len(running)) - 1]
    return (since + timedelta(seconds=PATIENCE_SECONDS) - now).total_seconds()


def _settling(joiners: Sequence[Worker], now: datetime) -> float:
    """Seconds still to wait for more, from the moment when the newest began to run."""
    since = max(w.started or now for w in joiners)
    return min(SETTLE_SECONDS, (since + timedelta(seconds=SETTLE_SECONDS) - now).total_seconds())


def _summarized(
    recorded: PretrainJobStatus,
    generation: int,
    workers: int,
    ready: int,
    lost: Sequence[str] = (),
    left_out: Sequence[LeftOut] = (),
) -> PretrainJobStatus:
    summary = Summary(
        generation=generation,
        workers=workers,
        ready=ready,
        summary=f"{ready}/{workers}",
        lost=list(lost),
        left_out=list(left_out),
    )
    return recorded.model_copy(update={"world": summary})
