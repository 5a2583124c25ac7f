"""Steps whose loss is not finite: skipped and counted, never saved, and the end of a run that has nothing else."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.token_runs import UPSTREAM, a_job, commits
from torch import nn

from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.context import StageContext
from pretrain_trainer.objectives import Batch, Objective, Sums
from pretrain_trainer.progress import Progress
from pretrain_trainer.stages import train
from pretrain_trainer.training import world
from pretrain_trainer.training.loop import NonFinite, Training


class Poisoned:
    """An objective that is NaN in some of its calls."""

    def __init__(self, objective: Objective, calls: range) -> None:
        self._objective, self._calls, self._call = objective, calls, -1

    def prepare(self, model: nn.Module) -> None:
        self._objective.prepare(model)

    def targets(self, batch: Batch) -> torch.Tensor:
        return self._objective.targets(batch)

    def sums(self, model: nn.Module, batch: Batch, scale: float) -> Sums:
        self._call += 1
        sums = self._objective.sums(model, batch, scale)
        return Sums(sums.objective * torch.nan, sums.loss * torch.nan) if self._call in self._calls else sums


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Training]:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    written = a_job(tmp_path, steps=14, microBatchSize=6)
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


def test_ten_in_a_row_end_the_training_and_save_nothing(training: Training, tmp_path: Path) -> None:
    training.objective = Poisoned(training.objective, range(2, 99))
    with pytest.raises(NonFinite, match="up to step 12") as error:
        training.run()
    assert error.value.kind == "NonFinite"
    assert not commits(tmp_path)
    assert all(torch.isfinite(p).all() for p in training.model.parameters())
