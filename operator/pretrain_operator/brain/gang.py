"""Many workers as one run of the training stage: whether it runs, and who ended it.

The first to speak is often not the first to fail: a worker that was taken away says nothing, and its neighbours report
a lost connection.
"""

from dataclasses import replace
from datetime import UTC, datetime

from pretrain_api import exits
from pretrain_api.stages import FINISH, Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import conditions, stages, world
from pretrain_operator.brain.observed import Observed, StageRun, Worker


def joined(recorded: PretrainJobStatus, observed: Observed) -> Observed:
    """What is observed, with the workers of the recorded attempt as one run of the training stage."""
    entry = stages.entry(recorded, Stage.TRAIN)
    if entry.state != "Running" or not (observed.workers or world.published_world(observed, entry.attempts)):
        return observed
    run = _run(entry.attempts, observed, conditions.is_stopping(recorded))
    return replace(observed, runs={**observed.runs, Stage.TRAIN: run}) if run else observed


def _run(attempt: int, observed: Observed, is_stopping: bool) -> StageRun | None:
    members = _members(attempt, observed)
    if not members:
        return None
    started = min((w.started for w in members if w.started), default=observed.now)
    run = StageRun(Stage.TRAIN, attempt, "Running", started, phase=FINISH.name, worker=members[0].pod)
    run = replace(run, is_outdated=all(w.is_outdated for w in members))
    report = observed.report
    if report and report.stage is Stage.TRAIN and report.attempt == attempt:
        run = replace(run, figures=report.figures, figures_time=report.time, recovery=report.recovery)
        if report.recovery and report.recovery.node < len(members):
            run = replace(run, recovered=members[report.recovery.node].pod)
    if is_stopping and any(w.is_alive for w in members):
        return run  # the others are still saving
    decisive = _decisive(members)
    if decisive is None:
        return run
    return replace(
        run,
        state="Lost" if decisive.state == "Lost" else "Ended",
        worker=decisive.pod,
        node=decisive.node,
        exit_code=decisive.exit_code,
        outcome=decisive.outcome,
        reason=decisive.reason,
        last_lines=decisive.last_lines,
    )


def _members(attempt: int, observed: Observed) -> list[Worker]:
    """The workers that count: those of the roster, the lost ones included; before there is one, all that exist."""
    published = world.published_world(observed, attempt)
    if published is None:
        return sorted(observed.workers, key=lambda w: w.worker)
    seen = {w.uid: w for w in observed.workers}
    gone = (
        Worker(m.worker, m.pod, m.uid, "Lost", is_alive=False, reason="Deleted")
        for m in published.roster
        if m.uid not in seen
    )
    return sorted([*gone, *(seen[m.uid] for m in published.roster if m.uid in seen)], key=lambda w: w.worker)


def _decisive(members: list[Worker]) -> Worker | None:
    """The worker whose end decides about the gang; None while all go on, or only some have finished their part."""
    ended = [w for w in members if w.state in ("Ended", "Lost")]
    says = {w.uid: w.outcome.outcome if w.outcome else "" for w in ended}
    complete = [w for w in ended if says[w.uid] == "complete"]
    if recorded := next((w for w in complete if w.outcome and w.outcome.fingerprint), None):
        return recorded  # the record is in storage
    broken = [w for w in ended if says[w.uid] != "complete"]
    if not broken:
        return complete[0] if len(complete) == len(members) else None
    for is_cause in (
        lambda w: says[w.uid] == "userError",
        lambda w: w.state == "Lost",
        lambda w: _was_killed(w),
        lambda w: says[w.uid] == "failed",
        lambda w: True,
    ):
        if causes := [w for w in broken if is_cause(w)]:
            return min(causes, key=lambda w: w.ended or _NEVER)
    return None


def _was_killed(worker: Worker) -> bool:
    """Whether the machine ended it; what its neighbours say is then what the lost connection did to them."""
    return worker.reason == "OOMKilled" or bool(exits.signal_of(worker.exit_code or 0))


_NEVER = datetime.max.replace(tzinfo=UTC)
