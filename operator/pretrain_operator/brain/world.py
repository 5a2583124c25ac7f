"""Who trains together: one roster of workers, started and restarted as a gang.

Each start of the training stage is a new generation, with workers of its own. A roster is published once, when its
workers run; membership is decided here and nowhere else.
"""

from datetime import datetime, timedelta

from pretrain_api.nouns import counted, noun
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import World as Summary
from pretrain_api.world import Member, World
from pretrain_operator.brain import conditions
from pretrain_operator.brain.observed import Observed, StageRun, Worker

PATIENCE_SECONDS = 30.0
"""How long the fewest workers that can train wait for the others."""


def planned(recorded: PretrainJobStatus, spec: PretrainJobSpec, attempt: int, most: int) -> PretrainJobStatus:
    """The status at a start of training: as many workers as there may be."""
    return _summarized(recorded, attempt, max(1, min(spec.workers.max, most)), 0)


def gang(recorded: PretrainJobStatus, observed: Observed, train: StageRun | None) -> PretrainJobStatus:
    """The status with the world of the training stage's newest start, as far as it is seen."""
    if train is None:
        return recorded
    known = recorded.world.workers if recorded.world.generation == train.attempt else 1
    workers, ready = known, known if train.state == "Running" else 0
    if observed.workers:
        published = published_world(observed, train.attempt)
        uids = {member.uid for member in published.roster} if published else set()
        workers = len(published.roster) if published else workers
        running = [w for w in observed.workers if w.state == "Running" and (not uids or w.uid in uids)]
        ready = min(len(running), workers)
    return _summarized(recorded, train.attempt, workers, ready)


def published_world(observed: Observed, attempt: int) -> World | None:
    """The roster of this attempt, if it was published."""
    return observed.world if observed.world and observed.world.generation == attempt else None


def is_whole(recorded: PretrainJobStatus, observed: Observed, attempt: int) -> bool:
    """Whether every worker of the attempt was started. Once the roster is published, it alone counts."""
    return bool(published_world(observed, attempt)) or len(observed.workers) >= recorded.world.workers


def next_world(
    recorded: PretrainJobStatus, spec: PretrainJobSpec, observed: Observed, attempt: int
) -> World | float | None:
    """The roster to publish; or the seconds to wait for more workers; None when there is nothing to do but wait."""
    running = sorted((w for w in observed.workers if w.state == "Running" and w.address), key=lambda w: w.worker)
    if published_world(observed, attempt) or (observed.world and observed.world.generation > attempt):
        return None
    size = _greatest_size(spec, min(len(running), recorded.world.workers))
    if size < min(spec.workers.min, recorded.world.workers):
        return None
    if size < recorded.world.workers and (left := _patience(running, spec.workers.min, observed.now)) > 0:
        return left
    roster = tuple(Member(worker=w.worker, pod=w.pod, uid=w.uid, address=w.address) for w in running[:size])
    reason = (
        f"{size} of {counted(recorded.world.workers, 'worker')} {noun(size, 'runs', 'run')}."
        if attempt > 1
        else "Training begins."
    )
    planned = conditions.condition(recorded, conditions.RECOVERING).status != "True"
    return World(
        generation=attempt, attempt=attempt, roster=roster, leader=roster[0].address, reason=reason, planned=planned
    )


def left_out(observed: Observed, attempt: int) -> tuple[int, ...]:
    """Workers that came too late for the roster."""
    published = published_world(observed, attempt)
    if published is None:
        return ()
    members = {member.uid for member in published.roster}
    return tuple(w.worker for w in observed.workers if w.uid not in members and w.is_alive)


def _greatest_size(spec: PretrainJobSpec, most: int) -> int:
    """The most workers whose ranks the fully sharded groups divide."""
    processes, shard = spec.workers.processes_per_worker, spec.training.parallelism.shard
    return next((n for n in range(most, 0, -1) if n * processes % shard == 0), 0)


def _patience(running: list[Worker], fewest: int, now: datetime) -> float:
    """Seconds still to wait for more workers, from the moment when the fewest ran."""
    since = sorted(w.started or now for w in running)[min(fewest, len(running)) - 1]
    return (since + timedelta(seconds=PATIENCE_SECONDS) - now).total_seconds()


def _summarized(recorded: PretrainJobStatus, generation: int, workers: int, ready: int) -> PretrainJobStatus:
    summary = Summary(generation=generation, workers=workers, ready=ready, summary=f"{ready}/{workers}")
    return recorded.model_copy(update={"world": summary})
