"""What the training loop knows of an objective: the batch that it makes of samples and how it learns from it. No model here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from pretrain_trainer.data.samples import AnySamples, Int64s

if TYPE_CHECKING:
    from pretrain_trainer.objectives.passes import Passes
    from pretrain_trainer.tokenizer import LoadedTokenizer

S = TypeVar("S", bound=AnySamples, contravariant=True)


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


@dataclass(frozen=True)
class Moment:
    """Where in a run a step is: what schedules go by."""

    samples: int
    """Seen before the step."""
    total: int
    """Of the whole run."""


@dataclass(frozen=True)
class Parts:
    """What an objective is made of, beside its settings."""

    tokenizer: Callable[[], LoadedTokenizer]
    """Loads it, with the special tokens that the objective needs."""
    seed: int
    config: Any
    """That of the model, as transformers has it; None where only batches are made, which text needs no model for."""
    length: int = 0
    """Of a sequence in tokens, for objectives that cut text to it themselves."""


class Objective(Protocol[S]):
    """One way to learn from samples of one kind."""

    def wrapped(self, model: Any) -> nn.Module:
        """What is trained: the model of transformers, or one that has it within, beside heads and teachers. Whatever the
        objective keeps over steps is a parameter or a persistent buffer of it."""

    def exported(self, module: nn.Module) -> Any:
        """The model of transformers in what is trained."""

    def prepare(self, module: nn.Module) -> None:
        """Get ready to train this, before it is divided over ranks.

        Raises UserError when the model cannot learn this objective. Not needed where only losses are measured.
        """

    def batch(self, samples: S, positions: Int64s) -> Batch:
        """The samples as this objective takes them, on the CPU. Pure: what is drawn at random (masks, say) follows from
        the seed and from each sample's position in the order, int64 [n], whichever rank has it and however often. Samples
        may turn out to be stand-ins here."""

    def targets(self, batch: Batch) -> Tensor:
        """int64 [n]: predictions that count in each sample. Known before the forward pass."""

    def sums(self, module: nn.Module, batch: Batch, scale: float) -> Sums:
        """Run the model. The gradient of `objective` is that of the sum over targets, times `scale`."""

    def learn(self, module: nn.Module, passes: Passes, scale: float, moment: Moment) -> Tensor:
        """Add the gradient of this rank's slice to that of the parameters, so that the sum over ranks is that of the
        loss over the global batch, times `scale`; float32 [slice], the loss of each sample over its targets."""

    def measure(self, module: nn.Module, passes: Passes) -> Tensor:
        """The losses that `learn` gives, without a gradient."""

    def after_update(self, module: nn.Module, moment: Moment) -> None:
        """The optimizer has made the step."""


class Summed:
    """Of objectives whose losses are measured sample by sample, whatever the others of the batch are."""

    def sums(self, module: nn.Module, batch: Batch, scale: float) -> Sums:
        """The objective's own, which this is mixed into; said here for the type checker."""
        raise NotImplementedError

    def measure(self, module: nn.Module, passes: Passes) -> Tensor:
        losses = []
        for batch, real in passes:
            with passes.context():
                # A scale of 0 would make every target one that does not count.
                losses.append(self.sums(module, batch, 1.0).loss[:real])
        return torch.cat(losses)


class Additive(Summed):
    """Of objectives whose model is that of transformers and whose loss is a sum over samples, whatever the others of the
    batch are."""

    def wrapped(self, model: Any) -> nn.Module:
        module: nn.Module = model
        return module

    def exported(self, module: nn.Module) -> Any:
        return module

    def learn(self, module: nn.Module, passes: Passes, scale: float, moment: Moment) -> Tensor:
        losses = []
        for batch, real in passes:
            with passes.part("forward"), passes.context():
                sums = self.sums(module, batch, scale)
            with passes.part("backward"):
                sums.objective.backward()  # type: ignore[no-untyped-call] # torch's has no annotations
            losses.append(sums.loss[:real])
        return torch.cat(losses)

    def after_update(self, module: nn.Module, moment: Moment) -> None:
        """Nothing is kept over steps but the weights."""
