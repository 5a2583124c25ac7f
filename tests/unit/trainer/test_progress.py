import json
import logging
from pathlib import Path

import pytest

from pretrain_trainer.progress import Progress


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pretrain_trainer")


def test_each_line_of_the_file_is_one_event(tmp_path: Path) -> None:
    progress = Progress("Prepare", str(tmp_path / "events.jsonl"))
    progress.update("filter", 1, 4, "parts", kept=3)
    progress.update("write", 4, 4, "parts")
    first, last = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    assert (first["stage"], first["phase"], first["done"], first["figures"]) == ("Prepare", "filter", 1, {"kept": 3})
    assert last["phase"] == "write"


def test_lines_that_come_fast_are_dropped_but_for_news(tmp_path: Path) -> None:
    progress = Progress("Train", str(tmp_path / "events.jsonl"))
    for step in range(1, 101):
        progress.update("step", step, 100, "steps", "half" if step == 50 else "")
    done = [json.loads(line)["done"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert done == [1, 50, 100]


class TestTheLog:
    def test_has_the_landmarks_and_little_else(self, caplog: pytest.LogCaptureFixture) -> None:
        progress = Progress("Train")
        progress.update("load", 0)
        for step in range(1, 101):
            figures = {"step": step, "totalSteps": 100, "loss": 4.25}
            progress.update("step", step, 100, "steps", "2 ranks" if step == 50 else "", **figures)
        assert caplog.messages == [
            "load",
            "step 1/100 steps, loss=4.25",
            "2 ranks",
            "step 100/100 steps, loss=4.25",
        ]

    def test_is_left_to_the_first_rank(self, caplog: pytest.LogCaptureFixture) -> None:
        Progress("Train", path="").update("step", 1, 2, "steps", "a message")
        assert not caplog.messages
