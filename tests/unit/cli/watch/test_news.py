"""What is kept of all looks at a job."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pretrain_api.events import ProgressEvent
from pretrain_api.recoveries import Recovery
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.watch.news import MOST_INCIDENTS, Known, Look

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RECOVERY = Recovery(
    number=1, kind="Restart", rank=3, cause="exit -9 (SIGKILL)", time=NOON, seconds=0.41, lost_steps=1, phases={}
)


def a_look(**parts: Any) -> Look:
    return Look(**{"time": NOON, "name": "gpt", "status": PretrainJobStatus(), **parts})


def a_step(step: int, loss: float, **more: Any) -> tuple[Stage, ProgressEvent]:
    event = ProgressEvent(time=step, stage="Train", phase="step", figures={"step": step, "loss": loss}, **more)
    return Stage.TRAIN, event


def status(**recovery: Any) -> PretrainJobStatus:
    return PretrainJobStatus.model_validate({"state": "Training", "recovery": recovery})


def test_losses_come_from_the_history_and_from_events() -> None:
    known = (
        Known()
        .after(a_look(steps=[{"step": 1, "loss": 3.0}, {"step": 2, "loss": None}]))
        .after(a_look(events=[a_step(3, 2.0)]))
    )
    assert known.losses == {1: 3.0, 3: 2.0}


def test_a_step_done_again_has_its_newest_loss() -> None:
    assert Known().after(a_look(events=[a_step(3, 2.0), a_step(3, 1.5)])).losses == {3: 1.5}


def test_progress_is_that_of_the_newest_event_until_a_status_is_newer_and_while_it_trains() -> None:
    recorded = {"step": 3, "totalSteps": 9, "updateTime": NOON.isoformat()}
    at_three = PretrainJobStatus.model_validate({"state": "Training", "progress": recorded})
    event = ProgressEvent(time=NOON.timestamp() + 5, stage="Train", figures={"step": 7, "totalSteps": 9, "loss": 1.5})
    known = Known().after(a_look(status=at_three, events=[(Stage.TRAIN, event)]))
    assert (known.progress.step, known.progress.steps, known.progress.loss) == (7, "7/9", "1.5000")
    stopped = at_three.model_copy(update={"state": "Suspended"})
    assert known.after(a_look(status=stopped)).progress.step == 3
    recorded |= {"step": 9, "updateTime": (NOON + timedelta(seconds=6)).isoformat()}
    at_nine = PretrainJobStatus.model_validate({"state": "Training", "progress": recorded})
    assert known.after(a_look(status=at_nine)).progress.step == 9


def test_a_recovery_is_told_once_though_event_and_history_tell_it() -> None:
    line = {"step": 4, "loss": 2.0, "recoveries": [RECOVERY.model_dump(mode="json")]}
    known = Known().after(a_look(events=[a_step(4, 2.0, recovery=RECOVERY)])).after(a_look(steps=[line]))
    (incident,) = known.incidents
    assert "Restart: rank 3 lost (exit -9 (SIGKILL)); 0.41 s to the next step, 1 step lost" in incident


def test_a_failure_between_two_looks_is_told_with_its_time() -> None:
    failure = {"stage": "Train", "kind": "OutOfMemory", "message": "no memory", "time": NOON.isoformat()}
    after = status(failures=1, recentFailures=[NOON.isoformat()], lastFailure=failure)
    known = Known().after(a_look(status=status())).after(a_look(status=after))
    (incident,) = known.incidents
    assert "Train: failed, OutOfMemory: no memory" in incident


def test_the_last_failure_before_the_first_look_is_told() -> None:
    failure = {"stage": "Train", "kind": "Exit", "message": "first\nlast", "time": NOON.isoformat()}
    known = Known().after(a_look(status=status(failures=4, lastFailure=failure)))
    assert "failed, Exit: last" in known.incidents[0]


def test_incidents_are_bounded_and_the_newest_stay() -> None:
    events = [a_step(n, 1.0, recovery=RECOVERY.model_copy(update={"rank": n})) for n in range(2 * MOST_INCIDENTS)]
    known = Known().after(a_look(events=events))
    assert len(known.incidents) == MOST_INCIDENTS
    assert f"rank {2 * MOST_INCIDENTS - 1} lost" in known.incidents[-1]
