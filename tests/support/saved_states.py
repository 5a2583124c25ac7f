"""Checkpoints of small states, made in this process by what Train uses, without a training."""

from pathlib import Path

import torch

from pretrain_api.storage import Storage
from pretrain_api.types.training import Checkpoint
from pretrain_trainer.training.checkpoints import Checkpoints, Position
from pretrain_trainer.training.world import World

STEPS = (3, 6, 9)


def tensors(step: int) -> dict[str, torch.Tensor]:
    """A state of three tensors, of several types, that differs at each step."""
    generator = torch.Generator().manual_seed(step)
    return {
        "model.a": torch.randn(37, 11, generator=generator),
        "model.b": torch.randn(500, generator=generator).to(torch.bfloat16),
        "optimizer.n": torch.tensor(step),
    }


def begun(root: Path, joined: World, keep_last: int = 3) -> Checkpoints:
    return Checkpoints(Storage(str(root)), "f", Checkpoint(keep_last=keep_last), joined)


def save(checkpoints: Checkpoints, step: int) -> None:
    checkpoints.save(tensors(step), Position(step=step, samples=step), (), [], final=False)
    checkpoints.wait()


def three_saved(root: Path, joined: World) -> Path:
    """A run's storage with checkpoints of `STEPS`."""
    checkpoints = begun(root, joined)
    for step in STEPS:
        save(checkpoints, step)
    return root
