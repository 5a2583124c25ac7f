"""Many workers as one run of the training stage: whether it runs, and who ended it.

The first to speak is often not the first to fail: a worker that was taken away says nothing, and its neighbours report
a lost connection.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime

from pretrain_api.stages import FINISH, Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain import conditions, losses, roster, stages
from pretrain_operator.brain.observed import Observed, StageRun, Worker


def joined(recorded: PretrainJobStatus, spec: PretrainJobSpec, observed: Observed) -> Observed:
    """What is observed, with the workers of the recorded attempt as one run of the training stage."""
    entry = stages.entry(recorded, Stage.TRAIN)
    if entry.state != "Running" or not (observed.workers or roster.published(observed, entry.attempts)):
        return observed
    run = _run(entry.attempts, recorded, spec, observed)
    return replace(observed, runs={**observed.runs, Stage.TRAIN: run}) if run else observed


def _run(attempt: int, recorded: PretrainJobStatus, spec: PretrainJobSpec, observed: Observed) -> StageRun | None:
    published = roster.published(observed, attempt)
    # The workers that count: those of the roster, the lost ones included; before there is one, all that exist.
    members = roster.members(published, observed) if published else sorted(observed.workers, key=lambda w: w.worker)
    if not members:
        return None
    started = min((w.started for w in members if w.started), default=observed.now)
    is_outdated = all(w.is_outdated for w in members)
    run = StageRun(
        Stage.TRAIN, attempt, "Running", started, phase=FINISH.name, worker=members[0].pod, is_outdated=is_outdated
    )
    report = observed.report
    # A leader that was left out may have something on its way still, older than what the new one said.
    is_of_member = not report or not report.pod or not published or report.pod in {w.pod for w in members}
    if report and report.stage is Stage.TRAIN and report.attempt == attempt and is_of_member:
        mended = report.recovery
        recovered = members[mended.node].pod if mended and mended.node < len(members) else ""
        run = replace(run, figures=report.figures, figures_time=report.time, recovery=mended, recovered=recovered)
    if conditions.is_stopping(recorded) and any(w.is_alive for w in members):
        return run  # the others are still saving
    if published and roster.is_elastic(spec) and roster.goes_on(members):
        return run  # without those that were lost, if any
    decisive = _decisive(members, set(recorded.world.lost))
    if decisive is None:
        return run
    return replace(losses.as_run(run, decisive), is_counted=decisive.uid in recorded.world.lost)


def _decisive(members: Sequence[Worker], counted: Set[str]) -> Worker | None:
    """The worker whose end decides about the gang; None while all go on, or only some have finished their part.

    `counted`: UIDs of those whose loss was counted when it did not end the attempt; new losses go before them.
    """
    ended = [w for w in members if w.state in ("Ended", "Lost")]
    says = {w.uid: w.outcome.outcome if w.outcome else "" for w in ended}
    complete = [w for w in ended if says[w.uid] == "complete"]
    if recorded := next((w for w in complete if w.outcome and w.outcome.fingerprint), None):
        return recorded  # the record is in storage
    broken = [w for w in ended if says[w.uid] != "complete"]
    if not broken:
        return complete[0] if len(complete) == len(members) else None
    causes: tuple[Callable[[Worker], bool], ...] = (
        lambda w: says[w.uid] == "userError",
        lambda w: w.state == "Lost" and w.uid not in counted,
        lambda w: roster.was_killed(w) and w.uid not in counted,
        lambda w: w.uid in counted,
        lambda w: says[w.uid] == "failed",
        lambda w: True,
    )
    found = next(those for is_cause in causes if (those := [w for w in broken if is_cause(w)]))
    return min(found, key=lambda w: w.ended or _NEVER)


_NEVER = datetime.max.replace(tzinfo=UTC)
