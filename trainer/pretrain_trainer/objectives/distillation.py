"""Self-distillation (DINO, arXiv:2104.14294): student and teacher with their heads, the loss between them, and how the teacher
follows. Nothing here knows of ranks and schedules."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional

from pretrain_trainer.objectives.encoders import features
from pretrain_trainer.objectives.pixels import normalised

_HIDDEN, _BOTTLENECK = 2048, 256
"""Widths of the head, as in the paper; that of an encoder below the smallest of the paper's is narrower in proportion."""
_HIDDEN_OF_WIDTH = 8
_INITIAL_DEVIATION = 0.02
_STUDENT_TEMPERATURE = 0.1
_CENTRE_MOMENTUM = 0.9


class Head(nn.Module):
    """Three layers, a projection onto the sphere, and cosines with `prototypes` directions (the paper's weight-normalised
    layer without gain): [n, width] to [n, prototypes]."""

    def __init__(self, width: int, prototypes: int, hidden: int | None = None, bottleneck: int = _BOTTLENECK) -> None:
        super().__init__()
        hidden = min(_HIDDEN, _HIDDEN_OF_WIDTH * width) if hidden is None else hidden
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=_INITIAL_DEVIATION)
                nn.init.zeros_(layer.bias)
        self.last = nn.Linear(bottleneck, prototypes, bias=False)

    def forward(self, found: Tensor) -> Tensor:
        directions = functional.normalize(self.last.weight, dim=-1)
        return functional.linear(functional.normalize(self.layers(found), dim=-1), directions)


class Distilled(nn.Module):
    """A student, and a teacher that begins as its copy. Teacher and centre are state, not trained."""

    centre: Tensor
    """[prototypes]: the moving mean of what the teacher says."""

    def __init__(self, model: Any, head: Head) -> None:
        super().__init__()
        self.student, self.student_head = model, head
        self.teacher, self.teacher_head = (copy.deepcopy(each).requires_grad_(False) for each in (model, head))
        self.register_buffer("centre", torch.zeros(head.last.out_features))

    def train(self, mode: bool = True) -> Distilled:
        """The teacher drops nothing, ever."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, large: Tensor, small: Tensor) -> tuple[Tensor, Tensor]:
        """Crops uint8 [n, 2, 3, ...] and [n, local, 3, ...] to what the student says of each, [2 + local, n, prototypes], and
        the teacher of the large ones, [2, n, prototypes]; the latter without a graph."""
        count = len(large)
        large_numbers = normalised(large.transpose(0, 1).flatten(0, 1)).to(self.centre.dtype)
        found = [features(self.student, large_numbers)]
        if small.shape[1]:
            found.append(features(self.student, normalised(small.transpose(0, 1).flatten(0, 1)).to(self.centre.dtype)))
        said = self.student_head(torch.cat(found))
        with torch.no_grad():
            taught = self.teacher_head(features(self.teacher, large_numbers))
        return said.unflatten(0, (-1, count)), taught.unflatten(0, (-1, count))

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move the teacher towards the student: what it keeps of itself is `momentum`."""
        torch._foreach_lerp_(list(self._of("teacher")), list(self._of("student")), 1 - momentum)

    @torch.no_grad()
    def recentre(self, mean: Tensor) -> None:
        """Move the centre towards the mean of what the teacher said of a batch, [prototypes]."""
        self.centre.lerp_(mean.to(self.centre.dtype), 1 - _CENTRE_MOMENTUM)

    def _of(self, which: str) -> Iterator[Tensor]:
        """The weights of encoder and head; of sharded ones this rank's part."""
        parts = (getattr(self, which), getattr(self, f"{which}_head"))
        for parameter in itertools.chain.from_iterable(part.parameters() for part in parts):
            yield parameter.to_local() if isinstance(parameter, DTensor) else parameter


def cross_entropy(said: Tensor, taught: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """[n]: of the student's distribution for each crop under the teacher's for each other large crop, the mean over these
    pairs (equation 3), from logits [crops, n, prototypes] and [2, n, prototypes].

    The teacher's are centred and sharpened by its temperature. As its probabilities add up to 1, -p log q is the normaliser
    of q less the mean of its logits under p: there is no need of the logarithms of all probabilities of all crops.
    """
    said, taught = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in (said, taught))
    said = said / _STUDENT_TEMPERATURE
    normalisers, views = said.logsumexp(dim=-1), len(taught)
    targets = ((taught - centre) / temperature).softmax(dim=-1)
    others = said.sum(dim=0) - said[:views]
    losses = views * normalisers.sum(dim=0) - normalisers[:views].sum(dim=0) - (targets * others).sum(dim=(0, 2))
    return losses / (views * (len(said) - 1))
