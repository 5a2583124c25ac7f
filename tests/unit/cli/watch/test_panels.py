"""The screen of a job whose status says strange things, and how a view that broke ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from pretrain_api.errors import EXIT_FAILURE, UserError
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.watch import panels
from pretrain_cli.watch.app import shown
from pretrain_cli.watch.news import Known, Look

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def drawn(**status: Any) -> str:
    """All panels of a job in that status, as text."""
    known = Known().after(Look(NOON, "gpt", PretrainJobStatus.model_validate(status)))
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        for part in (panels.head(known, NOON), panels.stages(known), panels.figures(known, NOON)):
            console.print(part)
    return capture.get()


def test_figures_that_are_none_are_shown_as_they_are() -> None:
    ratios = {"mfuRatio": "abc", "dataWaitRatio": "nan"}
    text = drawn(state="Training", progress={"totalSteps": 9, "loss": "[/bold]x", **ratios}, goodputRatio="0.5")
    for word in ("abc", "nan", "[/bold]x", "50.0 %"):
        assert word in text


def test_a_stage_of_another_version_is_shown_by_its_name() -> None:
    assert "[/bold]Distil" in drawn(stages=[{"name": "[/bold]Distil", "state": "Running"}])


class Raising:
    """A source that raises at the first look."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def look(self) -> Look:
        raise self._error


def test_a_view_that_broke_ends_with_a_code_that_says_so() -> None:
    assert shown(Raising(ZeroDivisionError()), headless=True) == EXIT_FAILURE


def test_a_mistake_that_ended_the_view_is_raised() -> None:
    mistake = UserError("no-run", "here", "no job has run here.", "Run one.")
    with pytest.raises(UserError) as raised:
        shown(Raising(mistake), headless=True)
    assert raised.value is mistake
