"""What one can wait for, and when it can no longer come."""

from typing import Any

import pytest

from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster.waiting import seconds, wanted


def a_status(**parts: Any) -> PretrainJobStatus:
    return PretrainJobStatus.model_validate(parts)


TRAINING = a_status(state="Training", progress={"step": 50, "totalSteps": 100},
                    stages=[{"name": "Prepare", "state": "Complete"}, {"name": "Train", "state": "Running"}],
                    conditions=[{"type": "Succeeded", "status": "Unknown"}])  # fmt: skip
SUSPENDED = a_status(state="Suspended", conditions=[{"type": "Suspended", "status": "True"}])
SUCCEEDED = a_status(state="Succeeded", progress={"step": 100, "totalSteps": 100}, checkpoint={"step": 100},
                     stages=[{"name": "Train", "state": "Complete"}],
                     conditions=[{"type": "Succeeded", "status": "True", "message": "done"}])  # fmt: skip
FAILED = a_status(
    state="Failed", conditions=[{"type": "Succeeded", "status": "False", "message": "Failed after 10 failures."}]
)


@pytest.mark.parametrize(
    ("aim", "status", "state", "why"),
    [
        ("condition=Succeeded", TRAINING, "waiting", ""),
        ("condition=Succeeded", SUSPENDED, "waiting", ""),
        ("condition=Succeeded", SUCCEEDED, "reached", ""),
        ("condition=Succeeded", FAILED, "unreachable", "it has failed: Failed after 10 failures."),
        ("condition=Succeeded=False", FAILED, "reached", ""),
        ("condition=Succeeded=False", SUCCEEDED, "unreachable", "it has succeeded"),
        ("condition=suspended=true", SUSPENDED, "reached", ""),
        ("condition=Recovering", TRAINING, "waiting", ""),
        ("state=Training", TRAINING, "reached", ""),
        ("state=training", TRAINING, "reached", ""),
        ("state=Evaluating", TRAINING, "waiting", ""),
        ("state=Preparing", TRAINING, "unreachable", "Prepare is complete; it is Training"),
        ("state=Training", SUCCEEDED, "unreachable", "Train is complete; it is Succeeded"),
        ("state=Training", FAILED, "unreachable", "it has failed: Failed after 10 failures."),
        ("state=Suspended", SUCCEEDED, "unreachable", "it has succeeded"),
        ("checkpoint", TRAINING, "waiting", ""),
        ("checkpoint", SUCCEEDED, "reached", ""),
        ("checkpoint", FAILED, "unreachable", "it has failed: Failed after 10 failures."),
        ("step=50", TRAINING, "reached", ""),
        ("step=51", TRAINING, "waiting", ""),
        ("step=101", TRAINING, "unreachable", "it trains for 100 steps only"),
        ("step=1", FAILED, "unreachable", "it has failed: Failed after 10 failures."),
    ],
)
def test_looks(aim: str, status: PretrainJobStatus, state: str, why: str) -> None:
    look = wanted(aim).look
    assert look is not None
    answer = look(status)
    assert (answer.state, answer.why) == (state, why)


def test_deletion_is_not_a_matter_of_status() -> None:
    assert wanted("delete").look is None


@pytest.mark.parametrize(
    ("aim", "said"),
    [
        ("", " is nothing to wait for. Write condition=TYPE"),
        ("Succeeded", "Succeeded is nothing to wait for. Write condition=TYPE"),
        ("condidion=Succeeded", "Did you mean condition=?"),
        ("chekkpoint", "Did you mean checkpoint?"),
        ("condition=", "nothing is not known. Write one of Succeeded, Running"),
        ("condition=Sukceeded", "Sukceeded is not known. Did you mean Succeeded?"),
        ("condition=Succeeded=yes", "yes is not known. Write one of True, False, Unknown."),
        ("state=Trainingg", "Trainingg is not known. Did you mean Training?"),
        ("step=", "nothing is no number of steps. Write step=100."),
        ("step=-1", "-1 is no number of steps."),
        ("step=many", "many is no number of steps."),
        ("delete=now", "delete=now is nothing to wait for."),
    ],
)
def test_mistakes_are_answered_with_what_to_write(aim: str, said: str) -> None:
    with pytest.raises(ValueError, match="is n") as caught:
        wanted(aim)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), ("2h5s", 7205)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 m", "1d", "s", "1m1h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration\. Write 90s, 5m or 1h30m\."):
        seconds(text)
