import pytest

from pretrain_api.types.training import Schedule
from pretrain_trainer.training.schedule import learning_rate

BATCH, TOTAL, PEAK = 10, 1000, 1e-3


def rate(step: int, **settings: object) -> float:
    schedule = Schedule(**{"warmup_steps": 10, "final_ratio": 0.1, **settings})
    return learning_rate(schedule, PEAK, step * BATCH, TOTAL, BATCH)


@pytest.mark.parametrize("decay", ["cosine", "linear", "wsd", "constant"])
def test_warm_up_is_linear_up_to_the_peak(decay: str) -> None:
    assert [rate(step, decay=decay) for step in (1, 5, 10)] == pytest.approx([PEAK / 10, PEAK / 2, PEAK])


@pytest.mark.parametrize(
    ("decay", "middle", "last"),
    [("cosine", 0.55, 0.1), ("linear", 0.55, 0.1), ("wsd", 1.0, 0.1), ("constant", 1.0, 1.0)],
)
def test_the_decay_goes_from_the_peak_to_the_final_ratio(decay: str, middle: float, last: float) -> None:
    assert rate(55, decay=decay) == pytest.approx(middle * PEAK)
    assert rate(100, decay=decay) == pytest.approx(last * PEAK)


def test_wsd_decays_in_the_last_part_alone() -> None:
    assert [rate(s, decay="wsd", decay_fraction=0.2) for s in (80, 90, 100)] == pytest.approx(
        [PEAK, 0.55 * PEAK, 0.1 * PEAK]
    )


def test_a_run_shorter_than_its_warm_up_never_reaches_the_peak_too_late() -> None:
    assert rate(100, warmup_steps=2000) == pytest.approx(PEAK)
    assert rate(50, warmup_steps=2000) == pytest.approx(PEAK / 2)


def test_without_warm_up_the_first_step_is_close_to_the_peak() -> None:
    assert rate(1, warmup_steps=0, decay="linear") == pytest.approx(PEAK * (0.1 + 0.9 * 0.99))


def test_an_omitted_warm_up_is_a_tenth_of_the_run() -> None:
    schedule = Schedule(decay="constant")
    assert learning_rate(schedule, 1.0, 50, 1000, 1) == pytest.approx(0.5)
    assert learning_rate(schedule, 1.0, 100, 1000, 1) == pytest.approx(1.0)
