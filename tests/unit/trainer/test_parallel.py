"""Work on many items: order, errors, stopping."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support import prepared

from pretrain_api.errors import UserError
from pretrain_trainer.context import StageContext, Stopped
from pretrain_trainer.parallel import WorkerProcessLost, ordered_map, processes
from pretrain_trainer.progress import Progress


def square(number: int) -> int:
    return number * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise UserError("three", "item 3", "is 3.", "Write 4.")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    nothing: dict = {}
    return StageContext(None, None, nothing, "", Progress("Test", ""), tmp_path, threading.Event())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("items", "size_bytes", "expected"),
    [(100, 10**9, 8), (3, 10**9, 3), (100, 2_000_001, 2), (100, 100, 1), (0, 0, 1)],
)
def test_there_are_no_more_processes_than_work(tmp_path: Path, items: int, size_bytes: int, expected: int) -> None:
    job = prepared.a_job(tmp_path, [{"name": "web", "documents": "a.txt"}])
    context = replace(prepared.a_context(job, tmp_path, "f" * 16, {}), processes=8)
    assert processes(context, items, size_bytes) == expected


class TestOrderedMap:
    @pytest.mark.parametrize("processes", [1, 2])
    def test_results_come_in_the_order_of_the_items(self, context: StageContext, processes: int) -> None:
        assert list(ordered_map(square, range(20), processes, context)) == [n * n for n in range(20)]

    @pytest.mark.parametrize("processes", [1, 2])
    def test_a_users_mistake_comes_out_after_the_results_before_it(self, context: StageContext, processes: int) -> None:
        seen: list[int] = []
        with pytest.raises(UserError, match="item 3: is 3"):
            seen.extend(ordered_map(refuse_three, range(20), processes, context))
        assert seen == [0, 1, 2]

    def test_a_killed_process_is_a_failure_and_no_hang(self, context: StageContext) -> None:
        with pytest.raises(WorkerProcessLost):
            list(ordered_map(die_at_three, range(20), 2, context))

    @pytest.mark.parametrize("processes", [1, 2])
    def test_a_request_to_stop_is_met_between_two_items(self, context: StageContext, processes: int) -> None:
        results = ordered_map(square, range(1000), processes, context)
        assert next(results) == 0
        context.stopping.set()
        with pytest.raises(Stopped):
            list(results)
