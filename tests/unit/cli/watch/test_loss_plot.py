"""The curve as text: every spike is seen, sizes are kept."""

import math

from hypothesis import given
from hypothesis import strategies as st

from pretrain_cli.watch.loss_plot import drawn, thinned

CURVE = {step: 10 / (1 + step / 50) for step in range(1, 2001)}


def test_has_the_size_that_was_asked_for_and_the_range_of_steps_and_losses() -> None:
    lines = drawn(CURVE, 60, 12, log_scale=False).splitlines()
    assert len(lines) == 12
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("9.804")
    assert lines[-1].split()[0] == "1"
    assert lines[-1].split()[-1] == "2000"


def test_falls_from_left_to_right() -> None:
    lines = drawn(CURVE, 60, 12, log_scale=False).splitlines()
    begin = len("9.804 ")
    assert lines[0][begin:].strip()
    assert lines[0].rstrip().count(" ") < 10  # high at the left
    assert len(lines[-2]) > 40  # low at the right


def test_a_log_scale_shows_the_losses_themselves() -> None:
    text = drawn({1: math.e, 2: math.e**2, 3: math.e**3}, 60, 12, log_scale=True)
    assert "2.718" in text
    assert "20.086" in text


def test_nothing_is_drawn_without_points_or_room() -> None:
    assert drawn({}, 60, 12, log_scale=False) == ""
    assert drawn({1: 2.0}, 60, 12, log_scale=False) == ""
    assert drawn(CURVE, 10, 12, log_scale=False) == ""
    assert drawn({1: math.nan, 2: math.inf, 3: 1.0}, 60, 12, log_scale=False) == ""


@given(st.lists(st.floats(0, 100), min_size=3, max_size=500), st.integers(1, 40))
def test_thinning_keeps_order_and_extremes(losses: list[float], half: int) -> None:
    points = list(enumerate(losses))
    kept = thinned(points, 2 * half)
    assert len(kept) <= max(2 * half, 0) or kept == points
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    assert max(loss for _, loss in kept) == max(losses)
    assert min(loss for _, loss in kept) == min(losses)
