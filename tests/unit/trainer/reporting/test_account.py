"""The account of a job's time as a report shows it: what is not known yet is put down to nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Goodput, TimeSpent
from pretrain_trainer.reporting.goodput import account_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STATUS = PretrainJobStatus(
    start_time=NOON,
    goodput=Goodput(until=NOON + timedelta(seconds=60), spent=[TimeSpent(activity="Productive", seconds="60.000")]),
)


@pytest.mark.parametrize(
    ("stage", "seconds"),
    [("Train", 60.0), ("Evaluate", 60.0), ("", 60.0), ("Report", 3600.0)],
    ids=["live", "live behind training", "nobody runs it", "its last stage writes it"],
)
def test_is_known_as_far_as_it_was_told(stage: str, seconds: float) -> None:
    account = account_of(STATUS.model_copy(update={"stage": stage, "state": "Training"}), NOON + timedelta(hours=1))
    assert account is not None
    assert sum(account.spent.values()) / 1000 == seconds


def test_of_a_job_that_has_ended_is_what_is_recorded() -> None:
    ended = STATUS.model_copy(update={"stage": "Report", "completion_time": NOON + timedelta(minutes=2)})
    account = account_of(ended, NOON + timedelta(hours=1))
    assert account is not None
    assert sum(account.spent.values()) == 60_000
