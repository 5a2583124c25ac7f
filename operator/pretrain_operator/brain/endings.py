"""What the end of a stage's program does to the recorded status.

Each attempt is taken in once: it is the recorded attempt of a stage that is recorded as running.
"""

from pretrain_api.events import Outcome
from pretrain_api.stages import FINISH, Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain import conditions, failures, phases, progress, roster, stages
from pretrain_operator.brain.failures import Verdict
from pretrain_operator.brain.observed import Observed, StageRun

_ADVICE = "It is tried again by itself; nothing needs to be done."


def current(recorded: PretrainJobStatus, observed: Observed, stage: Stage) -> StageRun | None:
    """The run that the recorded status speaks of; None when the stage is not running or its run is not seen yet."""
    run = observed.runs.get(stage)
    if run is None:
        return None
    entry = stages.entry(recorded, stage)
    if entry.state != "Running":
        return None
    return run if (run.attempt, run.phase) == (entry.attempts, entry.phase or FINISH.name) else None


def taken_in(
    recorded: PretrainJobStatus, run: StageRun, asked_to_stop: bool, spec: PretrainJobSpec, observed: Observed
) -> PretrainJobStatus:
    """The status after a run that ended or was lost."""
    now, stage = observed.now, run.stage
    match failures.verdict(run, asked_to_stop, observed.is_unattended):
        case Verdict.COMPLETE:
            said, following = run.outcome, phases.following(stage, run.phase)
            if following and not (said and said.fingerprint):
                return stages.changed(failures.forgotten(recorded), stage, phase=following.name)
            said = said or Outcome(outcome="complete")
            message = "skipped (done before)" if said.skipped else said.message
            status = stages.completed(recorded, stage, said.fingerprint, run.started, now, message, said.flow)
            return _recovered(failures.forgotten(status), run, observed)
        case Verdict.STOPPED:
            return stages.changed(recorded, stage, state="Pending")
        case Verdict.USER_ERROR:
            failed = failures.failure(run, now)
            status = stages.changed(recorded, stage, state="Failed", message=failed.message)
            return failures.noted(status, failed)
        case Verdict.WAITING:
            failed = failures.failure(run, now)
            status = failures.waited(stages.changed(recorded, stage, state="Failed", message=failed.message), failed)
            if conditions.condition(status, conditions.RECOVERING).status != "True":
                return status
            # A roster was about to go on without the lost; now a new start has to.
            return _recovering(status, run, f"{stage} waits: {failures.described(failed)}\n{_ADVICE}", observed)
        case Verdict.DISRUPTION:
            where = f" ({run.worker} on node {run.node}: {run.reason})" if run.reason else ""
            message = f"{stage} was stopped from outside{where}. {_ADVICE}"
            counted = recorded if run.is_counted else failures.disrupted(recorded)
            status = stages.changed(counted, stage, state="Pending", message=message)
            return _recovering(status, run, message, observed)
        case Verdict.FAILURE:
            failed = failures.failure(run, now)
            status = stages.changed(recorded, stage, state="Failed", message=failures.headline(failed))
            status = status if run.is_counted else failures.counted(status, failed, spec, now)
            return _recovering(status, run, f"{stage} failed: {failures.described(failed)}\n{_ADVICE}", observed)


def stepping(recorded: PretrainJobStatus, train: StageRun | None, observed: Observed) -> PretrainJobStatus:
    """The status once training makes steps again. After the loss of a worker the figures of the same attempt may be
    older, and while nobody has its place there can be no new ones."""
    if train is None or not progress.has_stepped(train):
        return recorded
    recovering = conditions.condition(recorded, conditions.RECOVERING)
    if recovering.status == "True" and recovering.reason in (conditions.SHRINKING, conditions.REPLACING):
        since, published = recovering.last_transition_time, roster.published(observed, train.attempt)
        if since and train.figures_time and train.figures_time <= since:
            return recorded
        if published and any(roster.is_lost(w) for w in roster.members(published, observed)):
            return recorded
    return _recovered(recorded, train, observed)


def _recovering(recorded: PretrainJobStatus, run: StageRun, message: str, observed: Observed) -> PretrainJobStatus:
    if run.stage is not Stage.TRAIN:
        return recorded
    return conditions.stated(recorded, conditions.RECOVERING, "True", conditions.RESTARTING, message, observed.now)


def _recovered(recorded: PretrainJobStatus, run: StageRun | None, observed: Observed) -> PretrainJobStatus:
    if run is None or conditions.condition(recorded, conditions.RECOVERING).status != "True":
        return recorded
    message = "Training makes steps again; nothing needs to be done."
    return conditions.stated(recorded, conditions.RECOVERING, "False", "Recovered", message, observed.now)
