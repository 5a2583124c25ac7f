"""Losses that tell samples apart by the others of their global batch: exact for any number of ranks and micro-batches.

The features of all micro-batches are computed without a graph, those of all ranks laid side by side, and the gradient of the
loss by them is what each micro-batch gets when it passes again with its graph (GradCache, Gao et al. 2021, arXiv:2101.06983).
A rank computes the loss of its own samples alone, against the features of all; what that loss says of the features of other
ranks goes to them. Which features are compared, and how, is the objective's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pretrain_trainer.agent.board import Phase, at
from pretrain_trainer.objectives.interface import Batch, Moment, Sums
from pretrain_trainer.objectives.passes import Passes


@dataclass(frozen=True)
class Contrast:
    """The features of a rank's samples among those of the global batch."""

    features: Tensor
    """float [all, width]: of all samples; anything where there is none that counts."""
    counts: Tensor
    """bool [all]: where there is a sample. The others, stand-ins among them, must not be compared with."""
    own: Tensor
    """int64 [own]: places of those of this rank that count."""


class Contrastive(ABC):
    """Of objectives whose batches say with `valid`, bool [n], which samples are no stand-ins, and whose loss is a sum over
    samples, each compared with all others of the global batch."""

    @abstractmethod
    def features(self, module: nn.Module, batch: Batch) -> Tensor:
        """float [n, width], fp32 at least: what is compared of each sample, as it follows from that sample alone."""

    @abstractmethod
    def losses(self, module: nn.Module, contrast: Contrast) -> Tensor:
        """float [own]: of each of the rank's samples."""

    def targets(self, batch: Batch) -> Tensor:
        """Each sample counts once."""
        return batch["valid"].long()

    def sums(self, module: nn.Module, batch: Batch, scale: float) -> Sums:
        """Samples are compared with those of the batch."""
        valid = batch["valid"]
        contrast = Contrast(self.features(module, batch), valid, valid.nonzero().flatten())
        losses = self._losses(module, contrast)
        return Sums(losses.sum() * scale, _spread(losses.detach(), valid))

    def learn(self, module: nn.Module, passes: Passes, scale: float, moment: Moment) -> Tensor:
        is_whole = passes.micro >= passes.largest  # then the one graph is kept, and nothing passes twice
        parts, states = [], []
        for batch, real in passes:
            states.append(_random_state(passes.device))
            with passes.part("forward"), passes.context(), torch.set_grad_enabled(is_whole):
                parts.append(self.features(module, batch)[:real])
        features = torch.cat(parts)
        with passes.part("collective"):
            contrast = _gathered(features.detach(), passes)
        contrast.features.requires_grad_()
        losses = self._losses(module, contrast)
        (losses.sum() * scale).backward()  # type: ignore[no-untyped-call]
        with passes.part("collective"):
            gradient = _own_part(contrast.features.grad, len(features), passes)
        if is_whole:
            with passes.part("backward"):
                features.backward(gradient)  # type: ignore[no-untyped-call]
        else:
            start = 0
            for (batch, real), state in zip(passes, states, strict=True):
                _set_random_state(passes.device, state)  # what dropout dropped, it drops again
                with passes.part("forward"), passes.context():
                    again = self.features(module, batch)[:real]
                with passes.part("backward"):
                    again.backward(gradient[start : start + real])  # type: ignore[no-untyped-call]
                start += real
        return _spread(losses.detach(), passes.whole["valid"].to(passes.device))

    def measure(self, module: nn.Module, passes: Passes) -> Tensor:
        parts = []
        for batch, real in passes:
            with passes.context():
                parts.append(self.features(module, batch)[:real])
        losses = self._losses(module, _gathered(torch.cat(parts), passes))
        return _spread(losses, passes.whole["valid"].to(passes.device))

    def _losses(self, module: nn.Module, contrast: Contrast) -> Tensor:
        with torch.autocast(contrast.features.device.type, enabled=False):
            return self.losses(module, contrast)


def _gathered(features: Tensor, passes: Passes) -> Contrast:
    """This rank's features [slice, width] among those of all ranks, each of which has `passes.largest` places."""
    valid = passes.whole["valid"]
    mine = features.new_zeros(passes.largest, features.shape[1] + 1)
    mine[: len(features), :-1] = features
    mine[: len(features), -1] = valid.to(features)
    rank, world = _place()
    everyone = mine
    if world > 1:
        everyone = mine.new_empty(world * passes.largest, mine.shape[1])
        with at(Phase.TOGETHER):
            dist.all_gather_into_tensor(everyone, mine)
    own = valid.nonzero().flatten() + rank * passes.largest
    return Contrast(everyone[:, :-1].contiguous(), everyone[:, -1] > 0, own.to(features.device))


def _own_part(gradient: Tensor | None, samples: int, passes: Passes) -> Tensor:
    """What all ranks' losses together say of this rank's features, [slice, width]."""
    assert gradient is not None
    rank, world = _place()
    if world > 1:
        with at(Phase.TOGETHER):
            dist.all_reduce(gradient)
    first = rank * passes.largest
    return gradient[first : first + samples]


def _place() -> tuple[int, int]:
    """Rank and number of ranks; stages after training have no others."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def _spread(losses: Tensor, valid: Tensor) -> Tensor:
    """float32 [n]: the losses of samples that count, 0 for the others."""
    spread = torch.zeros(len(valid), dtype=torch.float32, device=losses.device)
    spread[valid] = losses.float()
    return spread


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
