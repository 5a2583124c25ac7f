"""Ranks as forks of this process."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pretrain_trainer.agent.ranks import Ended, Ranks
from pretrain_trainer.process import stop_on_signals


@pytest.fixture
def ranks() -> Iterator[Ranks]:
    started = Ranks()
    yield started
    started.kill()


def waits() -> int:
    threading.Event().wait(60)
    return 0


def raises() -> int:
    raise KeyError("a")


@pytest.mark.parametrize(("program", "code"), [(lambda: 0, 0), (lambda: 75, 75), (raises, 1)])
def test_a_rank_ends_with_what_its_program_returns(ranks: Ranks, program: Callable[[], int], code: int) -> None:
    ranks.start(3, {}, program)
    assert ranks.wait(30) == [Ended(3, code)]
    assert not ranks.are_alive


def test_a_rank_has_its_own_environment_and_name(ranks: Ranks, tmp_path: Path) -> None:
    def tells() -> int:
        (tmp_path / "told").write_text(os.environ["RANK"] + Path("/proc/self/comm").read_text())
        return 0

    ranks.start(5, {"RANK": "5"}, tells)
    ranks.wait_for_all(30)
    assert (tmp_path / "told").read_text() == "5rank 5\n"
    assert "RANK" not in os.environ


def test_a_rank_does_not_keep_what_is_not_its_own(ranks: Ranks) -> None:
    reader, writer = os.pipe()
    ranks.start(0, {}, waits, [writer])
    os.close(writer)
    assert os.read(reader, 1) == b""  # this process's end and the rank's are closed
    os.close(reader)


def test_those_that_the_agent_ends_are_told_from_those_that_were_killed(ranks: Ranks) -> None:
    ranks.start(0, {}, lambda: os.kill(os.getpid(), signal.SIGKILL) or 0)
    ranks.start(1, {}, waits)
    first = ranks.wait(30)
    assert first == [Ended(0, -9)]
    assert ranks.wait_for_all(0.1) == [Ended(1, -9, by_us=True)]


def test_a_stop_that_comes_before_a_rank_listens_is_heard(ranks: Ranks) -> None:
    def listens_late() -> int:
        threading.Event().wait(0.5)
        return 75 if stop_on_signals().wait(30) else 1

    ranks.start(0, {}, listens_late)
    ranks.ask_to_stop()
    assert ranks.wait(30) == [Ended(0, 75)]
