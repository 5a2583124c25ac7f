"""What keeps a job from going on, as one condition."""

from datetime import timedelta

from support.jobs import a_job
from support.stage_runs import NOON, a_run

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Failure, RecoveryStatus
from pretrain_operator.brain import conditions, stages, troubles
from pretrain_operator.brain.observed import Observed, StageRun, Trouble

PLAIN = stages.listed(PretrainJobStatus(), a_job().spec)
WAITING = PLAIN.model_copy(
    update={"recovery": RecoveryStatus(waits=2, last_failure=Failure(stage="Collect", message="no bucket", time=NOON))}
)
RETRYING = stages.changed(WAITING, Stage.COLLECT, state="Running", attempts=3)


def stalled(
    status: PretrainJobStatus, run: StageRun | None = None, seconds: float = 0, *found: Trouble
) -> tuple[str, str]:
    seen = Observed(NOON + timedelta(seconds=seconds), troubles=found)
    said = conditions.condition(troubles.stated(status, Stage.COLLECT, run, seen), conditions.STALLED)
    return said.status, said.message


def test_a_trouble_is_shown_with_the_number_of_others() -> None:
    status, message = stalled(PLAIN, None, 0, Trouble("ImagePullBackOff", "Pod a ..."), Trouble("X", "Pod b ..."))
    assert (status, message) == ("True", "Pod a ... (1 more like it.)")


def test_without_trouble_nothing_is_said() -> None:
    assert stalled(PLAIN)[0] == "Unknown"


def test_a_program_that_waits_for_the_world_outside_is_shown_with_its_message() -> None:
    status, message = stalled(WAITING)
    assert status == "True"
    assert "Collect: no bucket" in message


def test_a_new_try_is_in_doubt_until_it_has_worked_for_a_while() -> None:
    run = a_run(Stage.COLLECT, attempt=3)
    assert stalled(RETRYING, run, 30)[0] == "True"
    stated = troubles.stated(WAITING, Stage.COLLECT, None, Observed(NOON))
    retrying = stages.changed(stated, Stage.COLLECT, state="Running", attempts=3)
    assert stalled(retrying, run, 61)[0] == "False"
