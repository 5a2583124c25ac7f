"""The screen itself, by textual's pilot: what a strange run brings is drawn, and steers no terminal."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from textual.widgets import RichLog, Static

from pretrain_api.types import PretrainJobStatus
from pretrain_cli.watch.app import WatchApp
from pretrain_cli.watch.news import Look

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Once:
    """A source with one look, at a run that is over."""

    def look(self) -> Look:
        progress = {"totalSteps": 9, "loss": "[/bold]x", "mfuRatio": "abc", "samplesPerSecond": "inf"}
        stages = [{"name": "[/bold]Distil", "state": "Running", "attempts": 1}]
        status = {"state": "Training", "progress": progress, "stages": stages}
        lines = ["train  x\x1b]0;owned\x07 [/bold]"]
        return Look(NOON, "gpt", PretrainJobStatus.model_validate(status), lines=lines, is_over=True)


def test_a_strange_run_is_drawn_as_it_is() -> None:
    async def play() -> None:
        app = WatchApp(Once())
        async with app.run_test(size=(140, 44)) as pilot:
            logs = app.query_one(RichLog)
            for _ in range(100):
                if logs.lines:
                    break
                await pilot.pause(0.1)
            assert logs.lines[0].text.rstrip() == r"train  x\x1b]0;owned\x07 [/bold]"
            assert "gpt  Training" in str(app.query_one("#head", Static).content)
        assert not app.return_code

    asyncio.run(play())
