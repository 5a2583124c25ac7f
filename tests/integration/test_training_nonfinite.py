"""Steps whose loss is not finite: skipped and counted, never saved, and after too many of them a return to a checkpoint."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.token_runs import UPSTREAM, a_job, commits
from torch import nn

from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.auditing.audit import audit
from pretrain_trainer.context import StageContext, Stopped
from pretrain_trainer.data.samples import Int64s, Samples
from pretrain_trainer.objectives import Batch, Objective, Sums
from pretrain_trainer.objectives.interface import Additive
from pretrain_trainer.progress import Progress
from pretrain_trainer.stages import train
from pretrain_trainer.training import world
from pretrain_trainer.training.going_back import NonFinite
from pretrain_trainer.training.loop import Training


class Poisoned(Additive):
    """An objective that is NaN in some of its calls, of which each step makes one."""

    def __init__(
        self, objective: Objective, calls: range, before: Callable[[int, nn.Module], object] = lambda call, model: None
    ) -> None:
        """`before`: what is done before each call."""
        self._objective, self._calls, self._call, self._before = objective, calls, -1, before

    def prepare(self, model: nn.Module) -> None:
        self._objective.prepare(model)

    def batch(self, samples: Samples, positions: Int64s) -> Batch:
        return self._objective.batch(samples, positions)

    def targets(self, batch: Batch) -> torch.Tensor:
        return self._objective.targets(batch)

    def sums(self, model: nn.Module, batch: Batch, scale: float) -> Sums:
        self._call += 1
        self._before(self._call, model)
        sums = self._objective.sums(model, batch, scale)
        return Sums(sums.objective * torch.nan, sums.loss * torch.nan) if self._call in self._calls else sums


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Training]:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    written = a_job(tmp_path, steps=getattr(request, "param", 14), microBatchSize=6)
    written["spec"]["checkpoint"]["everySeconds"] = 1000  # however slow this machine is, none falls due
    job = PretrainJob.model_validate(written)
    context = StageContext(
        job,
        Storage(str(tmp_path)),
        {Stage(name): value for name, value in UPSTREAM.items()},
        "f",
        Progress("Train", path=""),
        tmp_path,
        threading.Event(),
    )
    try:
        with world.join(1) as here:
            yield train.prepare(context, here)[0]
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_bad_step_is_left_out_and_counted(training: Training) -> None:
    training.objective = Poisoned(training.objective, range(3, 5))
    training.run()
    assert (training.position.step, training.position.skipped, training.position.updates) == (14, 2, 12)
    assert all(torch.isfinite(p).all() for p in training.model.parameters())


def test_ten_in_a_row_without_a_checkpoint_end_the_training_and_save_nothing(
    training: Training, tmp_path: Path
) -> None:
    training.objective = Poisoned(training.objective, range(2, 99))
    with pytest.raises(NonFinite, match="up to step 12") as error:
        training.run()
    assert error.value.kind == "NonFinite"
    assert not commits(tmp_path)
    assert all(torch.isfinite(p).all() for p in training.model.parameters())


def saved_at(training: Training, step: int) -> Callable[[int, nn.Module], object]:
    """Lets a save fall due at the end of a step."""

    def before(call: int, model: nn.Module) -> None:
        if call == step - 1:
            training.saved_at = float("-inf")

    return before


@pytest.mark.parametrize("training", [30], indirect=True)
def test_ten_in_a_row_are_passed_with_the_weights_of_the_newest_checkpoint(training: Training, tmp_path: Path) -> None:
    weights: dict[int, torch.Tensor] = {}
    save = saved_at(training, 5)

    def before(call: int, model: nn.Module) -> None:
        weights[call] = next(iter(model.parameters())).detach().clone()
        save(call, model)

    training.objective = Poisoned(training.objective, range(10, 20), before)
    training.run()
    assert torch.equal(weights[20], weights[5])
    assert not torch.equal(weights[19], weights[5])
    assert (training.position.step, training.position.skipped, training.position.updates) == (30, 15, 15)
    assert [commit["step"] for commit in commits(tmp_path)] == [5, 30]
    history = (tmp_path / commits(tmp_path)[1]["history"]).read_text().splitlines()
    lines = [json.loads(line) for line in history]
    assert [line["step"] for line in lines] == list(range(6, 31))
    assert [line["step"] for line in lines if line["skipped"]] == list(range(6, 21))
    found = audit(Storage(str(tmp_path)))
    assert [str(difference) for difference in found.differences] == []
    assert found.skipped_steps == 15


@pytest.mark.parametrize("training", [99], indirect=True)
def test_a_checkpoint_that_does_not_help_three_times_is_the_last(training: Training, tmp_path: Path) -> None:
    training.objective = Poisoned(training.objective, range(10, 99), saved_at(training, 5))
    with pytest.raises(NonFinite, match="up to step 50"):
        training.run()
    assert [commit["step"] for commit in commits(tmp_path)] == [5]


def test_what_may_have_made_a_loss_infinite_is_not_saved_when_training_stops(
    training: Training, tmp_path: Path
) -> None:
    save = saved_at(training, 3)

    def before(call: int, model: nn.Module) -> None:
        save(call, model)
        if call == 6:
            training.context.stopping.set()

    training.objective = Poisoned(training.objective, range(4, 9), before)
    with pytest.raises(Stopped, match="stopped at step 7; what followed the newest checkpoint is not saved"):
        training.run()
    assert [commit["step"] for commit in commits(tmp_path)] == [3]
