"""The story of one reconcile: from what is wanted, recorded and seen to what is recorded next and done.

The rules are asked in this order; each lives in the module that it is called from.
"""

from dataclasses import replace
from typing import Literal

from pretrain_api.objectives import learns_text
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import World
from pretrain_operator.brain import (
    conditions,
    edits,
    endings,
    failures,
    gang,
    goodput,
    lifecycle,
    losses,
    phases,
    progress,
    recoveries,
    replacements,
    roster,
    stages,
    stragglers,
    tenants,
    troubles,
    world,
)
from pretrain_operator.brain.observed import Observed, StageRun, Start, Tenant
from pretrain_operator.brain.plan import (
    Action,
    Decision,
    DeleteJob,
    DropWorkers,
    KeepSpec,
    KillStage,
    PublishWorld,
    ReleaseJob,
    Requeue,
    StartStage,
    StopStage,
)

_NOTHING: tuple[Action, ...] = ()
_WAITING_SECONDS = 8.0
"""How often to look at what was started and does not run yet."""
_LEAVING_SECONDS = 10.0
"""How soon to look again at what is leaving, should no event tell that it is gone."""


def decide(spec: PretrainJobSpec | None, recorded: PretrainJobStatus, observed: Observed) -> Decision:
    """What to record and what to do now. Pure: the same arguments give the same decision.

    Without a spec, the one that stands there cannot be followed and none was accepted before.
    """
    decision = _decided(spec, recorded, observed)
    # Last, whatever was decided: the time since the recorded status is put down to what it was spent on.
    told = gang.joined(recorded, spec, roster.heard(observed, spec)) if spec else observed
    train = endings.current(recorded, told, Stage.TRAIN)
    return replace(decision, recorded=goodput.accounted(recorded, decision.recorded, train, observed.now))


def _decided(spec: PretrainJobSpec | None, recorded: PretrainJobStatus, observed: Observed) -> Decision:
    now = observed.now

    # 1. A job that somebody deleted stops and goes. A terminal state stays what it is; nothing runs on.
    if observed.deleted:
        return _leaving(recorded, observed)
    if recorded.state in lifecycle.TERMINAL:
        return _ended(spec, recorded, observed)
    status = lifecycle.opened(recorded, now, observed.generation)
    if spec is None:
        return Decision(edits.unreadable(status, observed.invalid, now))
    observed = gang.joined(status, spec, roster.heard(observed, spec))

    # 2. Edits of the spec: what may change is followed.
    edited, keep = edits.Edits(spec), _NOTHING
    if observed.is_unattended:
        edited = edits.taken(spec, observed.accepted, status)
        spec, keep = edited.spec, _kept(edited, recorded, observed)
        status = edits.stated(edits.followed(status, edited, observed.accepted), edited, observed.invalid, now)

    status, observed = stages.listed(status, spec), tenants.told(spec, observed)

    # 3. How far training is; a new checkpoint forgets the failures before it.
    train = endings.current(status, observed, Stage.TRAIN)
    status = recoveries.taken_in(progress.taken_in(status, train, observed.checkpoint), train)
    status = stragglers.stated(status, spec, train, observed)
    status = world.gang(status, observed, train)
    status = endings.stepping(conditions.checkpointed(failures.reset_by_checkpoint(status), now), train, observed)
    status = recoveries.restored(recorded, status, train)

    # 4. Programs that ended.
    left = lifecycle.seconds_to_deadline(spec, status, now)
    must_stop = spec.suspend or (left is not None and left <= 0)
    for stage in Stage:
        run = endings.current(status, observed, stage)
        if run and run.state != "Running":
            status = endings.taken_in(status, run, must_stop or conditions.is_stopping(status), spec, observed)
    if not (must_stop or conditions.is_stopping(status)):
        status = losses.taken_in(status, spec, train, observed)
    status = progress.at_rest(status)

    # 5. A user's mistake or too many failures end the job.
    if mistake := failures.user_error(status):
        return _failed(status, "UserError", mistake, observed)
    if failures.exhausted(status, spec):
        return _failed(status, "TooManyFailures", failures.last_words(status, spec, observed.logs), observed)

    # 6. Stages whose records lie in storage need no program; when none is left the job is done.
    while (pending := stages.next_stage(status, spec)) and (finished := observed.finished.get(pending)):
        status = stages.found(status, pending, finished)
    if pending is None:
        return _succeeded(status, observed)
    stage = pending
    has_stepped = bool(train and progress.has_stepped(train))
    run = endings.current(status, observed, stage)
    status = troubles.stated(status, stage, run, observed)
    status = conditions.printed(status, stage, has_stepped, observed.is_queued)

    # 7. The deadline, a suspension and edits that a running program does not know of stop what runs, gracefully.
    is_running = stages.entry(status, stage).state == "Running"
    must_restart = edits.concerns(edited, stage) or bool(run and run.is_outdated) or conditions.is_stopping(status)
    if is_running and (must_stop or must_restart):
        return _with(_stopping(status, stage, run, observed), keep)
    if leftover := observed.alive - {_start(status, stage)} if is_running else observed.alive:
        was_disrupted = stages.entry(status, stage).state == "Pending"
        return _with((_seen_off if was_disrupted else _cleared)(status, leftover, observed), keep)
    if must_stop and not spec.suspend:
        return _failed(status, "DeadlineExceeded", lifecycle.deadline_message(spec), observed)
    if must_stop:
        return _with(_suspended(status, observed), keep)
    status = lifecycle.resumed(status, now)

    # 8. One folder holds one run: while another job works in it, this one waits.
    if not is_running and (other := tenants.in_the_way(observed)):
        return _with(_waiting_for(other, status, observed), keep)

    # 9. A stage that has only now become the next is looked for in storage before it is started.
    if stages.next_stage(recorded, spec) is not stage:
        return Decision(status, (*keep, Requeue(0.0)))

    # 10. The next stage, after a pause if it failed before. An attempt that is recorded but not seen is started again.
    pause = failures.pause_seconds(status, now)
    if stages.entry(status, stage).state == "Failed" and pause > 0:
        return _with(_pausing(status, stage, pause, observed), keep)
    left = lifecycle.seconds_to_deadline(spec, status, now)
    return _with(_working(spec, status, stage, run, left, observed), keep)


def _working(
    spec: PretrainJobSpec,
    status: PretrainJobStatus,
    stage: Stage,
    run: StageRun | None,
    left: float | None,
    observed: Observed,
) -> Decision:
    entry = stages.entry(status, stage)
    plan: list[Action] = [] if left is None else [Requeue(left)]
    if entry.state != "Running":
        # Images are left where they are, and evaluated at a stretch.
        start, phase = entry.start_time or observed.now, phases.at(entry, observed.parts if learns_text(spec) else 1)
        attempt = entry.attempts + 1
        status = stages.changed(
            status, stage, state="Running", attempts=attempt, start_time=start, phase=phase.name, message=""
        )
        if stage is Stage.TRAIN:
            status = world.planned(status, spec, attempt, observed.most_workers)
    entry = stages.entry(status, stage)
    if run is None or (
        stage is Stage.TRAIN and observed.workers and not world.is_whole(status, spec, observed, run.attempt)
    ):
        plan.insert(0, _started(spec, status, stage, observed))
    elif stage is Stage.TRAIN and observed.workers:
        plan += _gathered(spec, status, observed, run.attempt)
    if observed.is_waiting:
        plan.append(Requeue(_WAITING_SECONDS))
    if waits := troubles.seconds_of_doubt(status, run, observed.now):
        plan.append(Requeue(waits))
    now, message = observed.now, f"{stage} is at work; wait for it."
    if conditions.condition(status, conditions.STALLED).status == "True":
        message = f"{stage} has begun; the condition Stalled says what holds it up."
    waits_for = losses.waiting(status, spec, observed, entry.attempts) if stage is Stage.TRAIN else ""
    if observed.is_queued:
        # Without a queue, somebody has suspended the Job or closed a gate of a pod by hand.
        queue = f"queue {spec.scheduling.queue_name}" if spec.scheduling.queue_name else "whoever holds it back"
        message = f"{stage} waits until {queue} admits it; nothing needs to be done."
        status = conditions.stated(status, conditions.RUNNING, "False", "Queued", message, now)
    elif waits_for:
        message = waits_for
        status = conditions.stated(status, conditions.RUNNING, "False", "WaitingForWorkers", message, now)
    else:
        status = conditions.stated(status, conditions.RUNNING, "True", stage, message, now)
    if conditions.condition(status, conditions.SUSPENDED).status == "True":
        resumed = "The job goes on; set spec.suspend to true to suspend it again."
        status = conditions.stated(status, conditions.SUSPENDED, "False", "Resumed", resumed, now)
    return Decision(_summary(status, "Unknown", "Working", message, observed), tuple(plan))


def _started(
    spec: PretrainJobSpec,
    status: PretrainJobStatus,
    stage: Stage,
    observed: Observed,
    numbers: tuple[int, ...] | None = None,
) -> StartStage:
    """The start of a stage; of training with all its workers, or with these."""
    entry = stages.entry(status, stage)
    parts = observed.parts if phases.named(stage, entry.phase).indexed else 1
    workers: tuple[int, ...] = ()
    if stage is Stage.TRAIN:
        parts = world.with_spares(status, spec)
        workers = tuple(range(parts)) if numbers is None else numbers
    start = _start(status, stage)
    upstream = stages.upstream(status, stage, spec)
    return StartStage(stage, start.attempt, upstream, start.phase, parts, workers)


def _gathered(spec: PretrainJobSpec, status: PretrainJobStatus, observed: Observed, attempt: int) -> list[Action]:
    """The workers' roster, when it is time for one, and new workers for those that were lost."""
    plan: list[Action] = []
    match world.next_world(status, spec, observed, attempt):
        case World() as following:
            plan.append(PublishWorld(following))
        case float(seconds):
            plan.append(Requeue(seconds))
    if (doubt := losses.seconds_of_doubt(status, observed.now)) is not None:
        plan.append(Requeue(doubt))
    published = roster.published(observed, attempt)
    if published is None or not roster.is_elastic(spec) or not roster.goes_on(roster.members(published, observed)):
        return plan
    wanted = world.with_spares(status, spec)
    if too_many := replacements.surplus(status, observed, published, wanted):
        plan.append(DropWorkers(attempt, too_many))
    if numbers := replacements.missing(status, observed, published, wanted):
        pause = replacements.pause_seconds(status, observed, published)
        plan.append(Requeue(pause) if pause > 0 else _started(spec, status, Stage.TRAIN, observed, numbers))
    return plan


def _pausing(status: PretrainJobStatus, stage: Stage, pause: float, observed: Observed) -> Decision:
    stalled = conditions.condition(status, conditions.STALLED).status == "True"
    what = "the condition Stalled says what it waits for" if stalled else "nothing needs to be done"
    message = f"{stage} failed and is tried again {pause:.0f} s from its failure; {what}."
    status = conditions.stated(status, conditions.RUNNING, "False", "WaitingToRetry", message, observed.now)
    return Decision(_summary(status, "Unknown", "Working", message, observed), (Requeue(pause),))


def _waiting_for(other: Tenant, status: PretrainJobStatus, observed: Observed) -> Decision:
    message = f"PretrainJob {other.name} works in the same storage; wait for it."
    status = conditions.stated(status, conditions.RUNNING, "False", conditions.STORAGE_IN_USE, message, observed.now)
    status = _summary(status, "Unknown", "Waiting", message, observed)
    return Decision(status.model_copy(update={"state": "Pending"}), (Requeue(_WAITING_SECONDS),))


def _stopping(status: PretrainJobStatus, stage: Stage, run: StageRun | None, observed: Observed) -> Decision:
    start = _start(status, stage)
    if run is None:  # recorded, never started or not seen any more: nothing is there to stop
        status = stages.changed(status, stage, state="Pending")
        return Decision(status, (StopStage(start.stage, start.attempt, start.phase), Requeue(0)))
    left = lifecycle.STOP_GRACE_SECONDS - conditions.stopping_seconds(status, observed.now)
    message = f"{stage} was asked to save and leave; it is killed {lifecycle.STOP_GRACE_SECONDS:.0f} s later."
    status = conditions.stated(status, conditions.RUNNING, "Unknown", conditions.STOPPING, message, observed.now)
    if left <= 0:
        return Decision(status, (KillStage(start.stage, start.attempt, start.phase), Requeue(_LEAVING_SECONDS)))
    return Decision(status, (StopStage(start.stage, start.attempt, start.phase), Requeue(left)))


def _cleared(status: PretrainJobStatus, leftover: frozenset[Start], observed: Observed) -> Decision:
    """Nothing new begins while something of an earlier start is there: two gangs must never meet."""
    ends = [KillStage(s.stage, s.attempt, s.phase) for s in sorted(leftover, key=str)]
    return Decision(status, (*ends, Requeue(_LEAVING_SECONDS)))


def _seen_off(status: PretrainJobStatus, leftover: frozenset[Start], observed: Observed) -> Decision:
    """The same after a disruption: a worker that is asked to leave saves with the others, so they are asked as well."""
    left = lifecycle.LEFTOVER_GRACE_SECONDS - conditions.stopping_seconds(status, observed.now)
    if left <= 0:
        return _cleared(status, leftover, observed)
    message = "What is left of the disrupted start was asked to save and leave; then the stage starts again."
    status = conditions.stated(status, conditions.RUNNING, "Unknown", conditions.STOPPING, message, observed.now)
    asks = [StopStage(s.stage, s.attempt, s.phase) for s in sorted(leftover, key=str)]
    return Decision(status, (*asks, Requeue(left)))


def _leaving(recorded: PretrainJobStatus, observed: Observed) -> Decision:
    asked = observed.deleted or observed.now
    left = lifecycle.DELETION_GRACE_SECONDS - (observed.now - asked).total_seconds()
    starts = sorted(observed.alive, key=str)
    if not starts or left <= -_LEAVING_SECONDS:
        return Decision(recorded, (ReleaseJob(),))
    message = "The job is being deleted; its programs were asked to save and leave."
    status = conditions.stated(recorded, conditions.RUNNING, "Unknown", conditions.STOPPING, message, observed.now)
    if left <= 0:
        return Decision(status, (*(KillStage(s.stage, s.attempt, s.phase) for s in starts), Requeue(_LEAVING_SECONDS)))
    return Decision(status, (*(StopStage(s.stage, s.attempt, s.phase) for s in starts), Requeue(left)))


def _ended(spec: PretrainJobSpec | None, recorded: PretrainJobStatus, observed: Observed) -> Decision:
    if observed.alive:
        return _cleared(recorded, observed.alive, observed)
    left = lifecycle.seconds_to_live(spec, recorded, observed.now) if spec and observed.is_unattended else None
    if left is None:
        return Decision(recorded)
    return Decision(recorded, (DeleteJob(),) if left <= 0 else (Requeue(left),))


def _suspended(status: PretrainJobStatus, observed: Observed) -> Decision:
    now = observed.now
    again = (
        "set spec.suspend to false" if observed.is_unattended else "run the job again, where spec.suspend is not true,"
    )
    message = f"Nothing runs and everything is saved; {again} to go on."
    status = conditions.stated(status, conditions.RUNNING, "False", "Suspended", message, now)
    status = conditions.stated(status, conditions.SUSPENDED, "True", "Suspended", message, now)
    status = _summary(status, "Unknown", "Suspended", message, observed)
    return Decision(lifecycle.suspended_since(status, now).model_copy(update={"state": "Suspended"}))


def _succeeded(status: PretrainJobStatus, observed: Observed) -> Decision:
    message = "Every stage is complete; the model lies in export/, the report in report/."
    status = conditions.stated(status, conditions.RUNNING, "False", "Succeeded", message, observed.now)
    status = _summary(status.model_copy(update={"stage": ""}), "True", "Complete", message, observed)
    return _last(lifecycle.ended(status, "Succeeded", observed.now), observed)


def _failed(status: PretrainJobStatus, reason: str, message: str, observed: Observed) -> Decision:
    status = conditions.stated(status, conditions.RUNNING, "False", reason, message, observed.now)
    status = _summary(status, "False", reason, message, observed)
    return _last(lifecycle.ended(status, "Failed", observed.now), observed)


def _last(status: PretrainJobStatus, observed: Observed) -> Decision:
    """A terminal status; the next look ends what still runs and knows when the job is to be deleted."""
    return Decision(status, (Requeue(0.0),) if observed.is_unattended else ())


def _kept(edited: edits.Edits, recorded: PretrainJobStatus, observed: Observed) -> tuple[Action, ...]:
    """The accepted spec is put down when it is not there as recorded. The first start of a stage does it by itself."""
    is_there = observed.accepted is not None and recorded.accepted_job == edited.digest
    return () if is_there or not recorded.accepted_job else (KeepSpec(edited.spec),)


def _with(decision: Decision, first: tuple[Action, ...]) -> Decision:
    return Decision(decision.recorded, (*first, *decision.plan))


def _start(status: PretrainJobStatus, stage: Stage) -> Start:
    entry = stages.entry(status, stage)
    return Start(stage, entry.attempts, entry.phase) if entry.phase else Start(stage, entry.attempts)


def _summary(
    status: PretrainJobStatus, value: Literal["True", "False", "Unknown"], reason: str, message: str, observed: Observed
) -> PretrainJobStatus:
    return conditions.stated(status, conditions.SUCCEEDED, value, reason, message, observed.now)
