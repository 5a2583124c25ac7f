"""What is told of a step."""

from types import SimpleNamespace
from typing import Any

import pytest

from pretrain_api.ledger import StepRead
from pretrain_trainer.training.checkpoints import Position
from pretrain_trainer.training.history import StepFigures
from pretrain_trainer.training.pace import Pace
from pretrain_trainer.training.shown import show
from pretrain_trainer.training.spent import Spent

PARAMETERS, LAYERS, WIDTH, LENGTH, PEAK, RANKS = 7_000_000_000, 32, 4096, 2048, 989e12, 8
BATCH, SECONDS = 120, 4.0


@pytest.fixture
def training() -> Any:
    """Of a model of 7 billion parameters on eight devices whose peak is known."""
    per_token = 6 * PARAMETERS + 12 * LAYERS * WIDTH * LENGTH
    return SimpleNamespace(
        checkpoints=SimpleNamespace(newest=None),
        length=SimpleNamespace(steps=100),
        position=Position(step=10, spent=Spent(productive=40.0)),
        slow=None,
        since=5.0,
        spec=SimpleNamespace(
            evaluation=SimpleNamespace(every_steps=0), training=SimpleNamespace(global_batch_size=BATCH)
        ),
        resumed_step=0,
        pace=Pace().after(4.0, 0.0, 0.0),
        flops_per_sample=LENGTH * per_token,
        peak_flops=RANKS * PEAK,
        context=SimpleNamespace(progress=SimpleNamespace(update=lambda *_, **__: None), storage=None),
    )


def a_step(loss: float = 2.0) -> StepFigures:
    read = StepRead(samples=(0, 8), segment=0, taken={}, digests=())
    return StepFigures(10, loss, 1000, 0.1, 1.0, BATCH * LENGTH / SECONDS, SECONDS, 1.0, False, {}, read)


def test_utilisation_is_operations_a_second_over_the_peak_of_all_devices(training: Any) -> None:
    # 61,440 tokens/s of 4.2e10 + 3.2e9 operations each are 2.78e15 of 7.91e15.
    told = show(training, a_step())
    assert told["mfuRatio"] == pytest.approx(0.3512, rel=0.001)
    assert told["tokensPerSecond"] * training.flops_per_sample / LENGTH == pytest.approx(
        told["mfuRatio"] * RANKS * PEAK
    )


def test_no_utilisation_is_told_of_a_device_whose_peak_is_not_known(training: Any) -> None:
    training.peak_flops = None
    assert "mfuRatio" not in show(training, a_step())


def test_what_is_not_finite_is_left_out(training: Any) -> None:
    told = show(training, a_step(loss=float("nan")))
    assert "loss" not in told
    assert (told["dataWaitRatio"], told["secondsLeft"], told["productiveSeconds"]) == (0.25, 360.0, 40.0)
