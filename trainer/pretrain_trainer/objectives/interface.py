"""What the training loop knows of an objective: the batch that it makes of samples and the sums it returns. No model here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from pretrain_trainer.data.samples import Int64s, Samples


@dataclass(frozen=True)
class Batch:
    """Samples as one objective takes them: tensors by name, each with the samples along its first dimension.

    Where all tensors of a sample are zero (and false), it predicts nothing.
    """

    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def rows(self, start: int, stop: int) -> Batch:
        return self._each(lambda tensor: tensor[start:stop])

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        return self._each(lambda tensor: tensor.pin_memory().to(device, non_blocking=True))

    def nothing(self, rows: int) -> Batch:
        """A batch of the same widths that predicts nothing, to keep a rank in step with the others."""
        return self._each(lambda tensor: tensor.new_zeros(rows, *tensor.shape[1:]))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch({name: change(tensor) for name, tensor in self.tensors.items()})


@dataclass(frozen=True)
class Sums:
    """Sums over a micro-batch.

    `objective` [] is what is minimised, times the scale that was asked for, with its graph; `loss` float32 [n] is the
    plain loss of each sample (without regularising terms) summed over its targets, without a graph. `hits` int64 [n]
    counts the targets that the model holds most probable, where the objective is judged by that.
    """

    objective: Tensor
    loss: Tensor
    hits: Tensor | None = None


class Objective(Protocol):
    """One way to learn from packed sequences."""

    def prepare(self, model: nn.Module) -> None:
        """Get ready to train this model, before it is divided over ranks.

        Raises UserError when the model cannot learn this objective. Not needed where only losses are measured.
        """

    def batch(self, samples: Samples, positions: Int64s) -> Batch:
        """The samples as this objective takes them, on the CPU. Pure: what is drawn at random (masks, say) follows from
        the seed and from each sample's position in the order, int64 [n], whichever rank has it and however often."""

    def targets(self, batch: Batch) -> Tensor:
        """int64 [n]: predictions that count in each sample. Known before the forward pass."""

    def sums(self, model: nn.Module, batch: Batch, scale: float) -> Sums:
        """Run the model. The gradient of `objective` is that of the sum over targets, times `scale`."""
