"""The story of one reconcile: from what is wanted, recorded and seen to what is recorded next and done.

The rules are asked in this order; each lives in the module that it is called from.
"""

from typing import Literal

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain import conditions, endings, failures, lifecycle, progress, stages, world
from pretrain_operator.brain.observed import Observed, StageRun
from pretrain_operator.brain.plan import Action, Decision, KillStage, Requeue, StartStage, StopStage


def decide(spec: PretrainJobSpec, recorded: PretrainJobStatus, observed: Observed) -> Decision:
    """What to record and what to do now. Pure: the same arguments give the same decision."""
    now = observed.now

    # 1. A terminal state stays what it is.
    if recorded.state in lifecycle.TERMINAL:
        return Decision(recorded)
    status = lifecycle.opened(recorded, now, observed.generation)

    # 2. How far training is; a new checkpoint forgets the failures before it.
    train = endings.current(status, observed, Stage.TRAIN)
    status = world.gang(progress.taken_in(status, train, observed.checkpoint), spec, train)
    status = endings.stepping(conditions.checkpointed(failures.reset_by_checkpoint(status), now), train, observed)

    # 3. Programs that ended.
    left = lifecycle.seconds_to_deadline(spec, status, now)
    must_stop = spec.suspend or (left is not None and left <= 0)
    for stage in Stage:
        run = endings.current(status, observed, stage)
        if run and run.state != "Running":
            status = endings.taken_in(status, run, must_stop or conditions.is_stopping(status), spec, observed)

    # 4. A user's mistake or too many failures end the job.
    if mistake := failures.user_error(status):
        return _failed(status, "UserError", mistake, observed)
    if failures.exhausted(status, spec):
        return _failed(status, "TooManyFailures", failures.last_words(status, spec), observed)

    # 5. Stages whose records lie in storage need no program; when none is left the job is done.
    while (pending := stages.next_stage(status)) and (finished := observed.finished.get(pending)):
        status = stages.found(status, pending, finished)
    if pending is None:
        return _succeeded(status, observed)
    stage = pending
    status = conditions.printed(status, stage, has_stepped=bool(train and progress.has_stepped(train)))
    run = endings.current(status, observed, stage)

    # 6. The deadline and a suspension stop what runs, gracefully.
    if must_stop:
        if stages.entry(status, stage).state == "Running":
            return _stopping(status, stage, run, observed)
        if not spec.suspend:
            return _failed(status, "DeadlineExceeded", lifecycle.deadline_message(spec), observed)
        return _suspended(status, observed)
    status = lifecycle.resumed(status, now)

    # 7. A stage that has only now become the next is looked for in storage before it is started.
    if stages.next_stage(recorded) is not stage:
        return Decision(status, (Requeue(0.0),))

    # 8. The next stage, after a pause if it failed before. An attempt that is recorded but not seen is started again.
    pause = failures.pause_seconds(status, now)
    if stages.entry(status, stage).state == "Failed" and pause > 0:
        return _pausing(status, stage, pause, observed)
    return _working(status, stage, run, lifecycle.seconds_to_deadline(spec, status, now), observed)


def _working(
    status: PretrainJobStatus, stage: Stage, run: StageRun | None, left: float | None, observed: Observed
) -> Decision:
    entry = stages.entry(status, stage)
    plan: list[Action] = [] if left is None else [Requeue(left)]
    if entry.state != "Running":
        start = entry.start_time or observed.now
        status = stages.changed(status, stage, state="Running", attempts=entry.attempts + 1, start_time=start)
    if run is None:
        attempt = stages.entry(status, stage).attempts
        plan.insert(0, StartStage(stage, attempt, stages.upstream(status, stage)))
    now = observed.now
    status = conditions.stated(status, conditions.RUNNING, "True", stage, f"{stage} is at work; wait for it.", now)
    if conditions.condition(status, conditions.SUSPENDED).status == "True":
        message = "The job goes on; set spec.suspend to true to suspend it again."
        status = conditions.stated(status, conditions.SUSPENDED, "False", "Resumed", message, now)
    return Decision(_summary(status, "Unknown", "Working", f"{stage} is at work; wait for it.", observed), tuple(plan))


def _pausing(status: PretrainJobStatus, stage: Stage, pause: float, observed: Observed) -> Decision:
    message = f"{stage} failed and is tried again {pause:.0f} s from its failure; nothing needs to be done."
    status = conditions.stated(status, conditions.RUNNING, "False", "WaitingToRetry", message, observed.now)
    return Decision(_summary(status, "Unknown", "Working", message, observed), (Requeue(pause),))


def _stopping(status: PretrainJobStatus, stage: Stage, run: StageRun | None, observed: Observed) -> Decision:
    attempt = stages.entry(status, stage).attempts
    if run is None:  # recorded, never started or not seen any more: nothing is there to stop
        status = stages.changed(status, stage, state="Pending")
        return Decision(status, (StopStage(stage, attempt), Requeue(0)))
    left = lifecycle.STOP_GRACE_SECONDS - conditions.stopping_seconds(status, observed.now)
    message = f"{stage} was asked to save and leave; it is killed {lifecycle.STOP_GRACE_SECONDS:.0f} s later."
    status = conditions.stated(status, conditions.RUNNING, "Unknown", conditions.STOPPING, message, observed.now)
    if left <= 0:
        return Decision(status, (KillStage(stage, attempt),))
    return Decision(status, (StopStage(stage, attempt), Requeue(left)))


def _suspended(status: PretrainJobStatus, observed: Observed) -> Decision:
    now = observed.now
    message = "Nothing runs and everything is saved; set spec.suspend to false, or run the job again, to go on."
    status = conditions.stated(status, conditions.RUNNING, "False", "Suspended", message, now)
    status = conditions.stated(status, conditions.SUSPENDED, "True", "Suspended", message, now)
    status = _summary(status, "Unknown", "Suspended", message, observed)
    return Decision(lifecycle.suspended_since(status, now).model_copy(update={"state": "Suspended"}))


def _succeeded(status: PretrainJobStatus, observed: Observed) -> Decision:
    message = "Every stage is complete; the model lies in export/, the report in report/."
    status = conditions.stated(status, conditions.RUNNING, "False", "Succeeded", message, observed.now)
    status = _summary(status.model_copy(update={"stage": ""}), "True", "Complete", message, observed)
    return Decision(lifecycle.ended(status, "Succeeded", observed.now))


def _failed(status: PretrainJobStatus, reason: str, message: str, observed: Observed) -> Decision:
    status = conditions.stated(status, conditions.RUNNING, "False", reason, message, observed.now)
    status = _summary(status, "False", reason, message, observed)
    return Decision(lifecycle.ended(status, "Failed", observed.now))


def _summary(
    status: PretrainJobStatus, value: Literal["True", "False", "Unknown"], reason: str, message: str, observed: Observed
) -> PretrainJobStatus:
    return conditions.stated(status, conditions.SUCCEEDED, value, reason, message, observed.now)
