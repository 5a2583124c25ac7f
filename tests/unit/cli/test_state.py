"""What `pretrain status` says of a run: who runs it, and how it was left."""

from datetime import UTC, datetime
from typing import Any

from support.jobs import a_job

from pretrain_api.types import PretrainJobStatus
from pretrain_cli.display.state import lines

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def told(runner: int = 0, is_seen: bool = True, **status: Any) -> list[str]:
    job = a_job().job.model_copy(update={"status": PretrainJobStatus.model_validate(status)})
    return list(lines(job, runner, NOON, is_seen=is_seen))


def test_a_run_that_nobody_runs_was_interrupted() -> None:
    assert told(state="Training")[0].endswith(": interrupted while Training")
    assert told(state="Training", runner=7)[0].endswith(": Training")
    for state in ("Succeeded", "Failed", "Suspended"):
        assert told(state=state)[0].endswith(f": {state}")


def test_where_another_machine_may_run_it_no_more_is_said_than_is_known() -> None:
    found = told(state="Training", is_seen=False)
    assert found[0].endswith(": Training")
    assert "run by      nobody on this machine: `pretrain run` goes on where it was" in found


def test_goodput_is_told_once_it_is_known() -> None:
    assert "goodput     0.8231" in told(state="Training", goodputRatio="0.8231")
    assert not [line for line in told(state="Training") if line.startswith("goodput")]
