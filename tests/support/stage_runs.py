"""Runs of stage programs as a body would see them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pretrain_api.events import Outcome
from pretrain_api.stages import Stage
from pretrain_operator.brain.observed import StageRun

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_run(stage: Stage = Stage.TRAIN, **changes: Any) -> StageRun:
    """A first attempt at a stage that is running since noon."""
    run = StageRun(stage=stage, attempt=1, state="Running", started=NOON, worker="gpt-w0", node="a17")
    return replace(run, **changes)


def an_ended_run(exit_code: int, said: str = "", stage: Stage = Stage.TRAIN, **changes: Any) -> StageRun:
    """An attempt that ended; `said`: the outcome that its program wrote, "" for none."""
    outcome = Outcome(outcome=said, rank=changes.pop("said_rank", 0), **changes.pop("words", {})) if said else None  # type: ignore[arg-type]
    return a_run(stage, state="Ended", exit_code=exit_code, outcome=outcome, **changes)
