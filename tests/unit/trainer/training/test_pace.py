"""The time that training still takes: steady, right, and quick to follow a machine that becomes slower."""

import itertools
import math
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


class TestTheError:
    """How near the end is to what was promised, nine times of ten."""

    @staticmethod
    def met(seed: int, wobble: float, drift: float) -> tuple[int, int, float]:
        """After each hundredth of a training of hours whose steps differ, and whose rate wanders: how often the end lay within
        the error, how often it was asked, and the greatest error over the time that was left."""
        rng = random.Random(seed)
        level, lasts, pace, now = 0.0, [], Pace(), 0.0
        for step in range(1, 10_001):
            level = 0.995 * level + rng.gauss(0, drift * math.sqrt(1 - 0.995**2))
            seconds = math.exp(level + rng.gauss(0, wobble))
            now += seconds
            pace = pace.after(seconds, 0.0, 0.0)
            if step % 100 == 0 and 500 <= step <= 9_000:
                left = pace.seconds_left(10_000 - step, 0)
                assert left is not None
                lasts.append((now + left, pace.error_seconds(10_000 - step), left))
        within = sum(abs(promised - now) <= error for promised, error, _ in lasts)
        return within, len(lasts), max(error / left for _, error, left in lasts)

    @pytest.mark.parametrize(("wobble", "drift"), [(0.3, 0.0), (0.1, 0.1), (0.05, 0.3)])
    def test_holds_the_end_nine_times_of_ten_or_more(self, wobble: float, drift: float) -> None:
        found = [self.met(seed, wobble, drift) for seed in range(12)]
        within, asked = sum(each[0] for each in found), sum(each[1] for each in found)
        assert within / asked >= 0.9
        assert max(each[2] for each in found) < 7 * max(drift, wobble / 10)

    def test_is_a_tenth_at_first_and_less_where_steps_stay_alike(self) -> None:
        pace, shares = Pace(), []
        for _ in range(7200):
            pace = pace.after(1.0, 0.0, 0.0)
            shares.append(pace.error_seconds(1000) / 1000)
        assert 0.1 < shares[0] < 0.15
        assert shares[600] < 0.09
        assert shares[-1] < 0.06

    def test_grows_when_the_machine_becomes_slower(self) -> None:
        pace, errors = Pace(), []
        for step in range(700):
            pace = pace.after(1.0 if step < 600 else 2.0, 0.0, 0.0)
            errors.append(pace.error_seconds(1000))
        assert errors[590] < 100
        assert errors[-1] > 200

    def test_is_none_before_the_first_step(self) -> None:
        assert Pace().error_seconds(10) == 0


class TestAStall:
    """A step that was held up, by storage perhaps: it says little of those that follow."""

    @pytest.mark.parametrize("stall", [60.0, 600.0, 14_400.0])
    def test_makes_no_long_training_of_a_short_one(self, stall: float) -> None:
        pace = Pace()
        for _ in range(3000):
            pace = pace.after(1.0, 0.0, 0.0)
        pace = pace.after(stall, 0.0, 0.0)
        left, error = pace.seconds_left(10_000, 0), pace.error_seconds(10_000)
        assert left is not None
        # As much more as the stall is of the time so far, ten times at most.
        assert 10_000 <= left <= min(10 * 10_000, 1.25 * 10_000 * (1 + stall / 3000))
        assert error < 0.5 * left
        for _ in range(600):
            pace = pace.after(1.0, 0.0, 0.0)
        assert pace.error_seconds(10_000) < 1000

    def test_that_comes_again_and_again_is_a_part_of_what_is_to_come(self) -> None:
        pace, now = Pace(), 0.0
        for step in range(10_000):
            seconds = 121.0 if step % 500 == 499 else 1.0
            pace, now = pace.after(seconds, 0.0, 0.0), now + seconds
        left = pace.seconds_left(10_000, 0)
        assert left == pytest.approx(now, rel=0.15)


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    pace = Pace().after(1.0, 0.0, 0.0).after(1.0, 0.0, 0.0).after(-50.0, 0.0, 0.0).after(1.0, 0.0, 0.0)
    left = pace.seconds_left(10, 0)
    assert left is not None
    assert left >= 0
    assert pace.error_seconds(10) >= 0


def test_before_the_first_step_nothing_is_known() -> None:
    assert Pace().seconds_left(10, 1) is None


def test_nothing_is_left_after_the_last_step() -> None:
    assert Pace().after(1.0, 0.0, 0.0).seconds_left(0, 0) == 0


@pytest.mark.parametrize(
    ("step", "last", "every", "expected"), [(0, 10, 0, 0), (0, 10, 5, 2), (5, 10, 5, 1), (9, 10, 5, 1), (10, 10, 5, 0)]
)
def test_evaluations_that_follow(step: int, last: int, every: int, expected: int) -> None:
    assert evaluations_between(step, last, every) == expected
