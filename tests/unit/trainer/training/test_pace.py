"""The time that training still takes: steady, right, and quick to follow a machine that becomes slower."""

import itertools
import random
from collections.abc import Callable

import pytest

from pretrain_trainer.training.pace import Pace, evaluations_between

STEPS, EVERY = 1000, 100


def promises(
    step_seconds: Callable[[int], float], evaluating: float = 0.0, saving: float = 0.0, first: int = 0
) -> tuple[list[float], float]:
    """After each step the moment at which training would end, and when it does end."""
    pace, now, promised = Pace(), 0.0, []
    for step in range(first + 1, STEPS + 1):
        evaluates, saves = evaluating * (step % EVERY == 0), saving * (step % 50 == 1)
        seconds = step_seconds(step) + evaluates + saves
        now += seconds
        pace = pace.after(seconds, evaluates, saves)
        left = pace.seconds_left(STEPS - step, evaluations_between(step, STEPS, EVERY if evaluating else 0))
        assert left is not None
        promised.append(now + left)
    return promised, now


class TestTheEnd:
    @pytest.mark.parametrize("first", [0, 640], ids=["from the start", "resumed"])
    def test_is_right_from_the_second_step_on_when_steps_are_alike(self, first: int) -> None:
        promised, end = promises(lambda step: 30.0 if step == first + 1 else 1.0, first=first)
        assert promised[1:] == pytest.approx([end] * len(promised[1:]))

    @pytest.mark.parametrize("first", [0, 640], ids=["from the start", "resumed"])
    def test_does_not_jump_with_single_steps(self, first: int) -> None:
        rng = random.Random(5)
        promised, end = promises(lambda step: rng.choice([0.6, 0.8, 1.6]), first=first)
        assert max(abs(moment - end) for moment in promised[100:]) < 0.15 * end
        assert max(abs(after - before) for before, after in itertools.pairwise(promised[100:])) < 0.02 * end

    def test_contains_the_evaluations_to_come(self) -> None:
        promised, end = promises(lambda step: 1.0, evaluating=40.0)
        assert promised[EVERY:] == pytest.approx([end] * len(promised[EVERY:]))

    def test_contains_the_time_that_checkpoints_take(self) -> None:
        promised, end = promises(lambda step: 1.0, evaluating=40.0, saving=10.0)
        assert promised[300:] == pytest.approx([end] * len(promised[300:]), rel=0.03)

    def test_follows_a_machine_that_becomes_slower_within_minutes(self) -> None:
        promised, end = promises(lambda step: 1.0 if step <= 300 else 2.0)
        assert promised[299] == pytest.approx(1000, rel=0.01)
        assert promised[400] == pytest.approx(end, rel=0.03)


def test_before_the_first_step_nothing_is_known() -> None:
    assert Pace().seconds_left(10, 1) is None


def test_nothing_is_left_after_the_last_step() -> None:
    assert Pace().after(1.0, 0.0, 0.0).seconds_left(0, 0) == 0


@pytest.mark.parametrize(
    ("step", "last", "every", "expected"), [(0, 10, 0, 0), (0, 10, 5, 2), (5, 10, 5, 1), (9, 10, 5, 1), (10, 10, 5, 0)]
)
def test_evaluations_that_follow(step: int, last: int, every: int, expected: int) -> None:
    assert evaluations_between(step, last, every) == expected
