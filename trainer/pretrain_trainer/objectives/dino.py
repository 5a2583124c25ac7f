"""Self-distillation without labels (DINO, arXiv:2104.14294): a student learns to say of each crop of an image what its teacher
says of other, large crops of it; the teacher is the moving mean of the student.

Schedules go by the samples seen: the teacher's momentum rises to 1 by a cosine, its temperature linearly over the first tenth
of the run, and the head's last layer stays as it is at first. What is exported is the teacher, as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pretrain_api.errors import UserError
from pretrain_api.types.model import Dino as DinoSpec
from pretrain_trainer.agent.board import Phase, at
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.samples import Int64s
from pretrain_trainer.objectives import encoders
from pretrain_trainer.objectives.attention_maps import attention_maps
from pretrain_trainer.objectives.crops import GLOBAL_CROPS, crops
from pretrain_trainer.objectives.distillation import Distilled, Head, cross_entropy
from pretrain_trainer.objectives.image_objective import Picture
from pretrain_trainer.objectives.interface import Batch, Moment, Parts, Summed, Sums
from pretrain_trainer.objectives.passes import Passes

if TYPE_CHECKING:
    from pretrain_trainer.context import StageContext
    from pretrain_trainer.data.opened import Places
    from pretrain_trainer.evaluation.trained import TrainedModel

_WARM_PART = 0.1
"""Of the run, in which the teacher's temperature rises (the paper: 30 of 300 epochs)."""
_FROZEN_PART = 0.01
"""Of the run, where the job does not say for how long (the paper: one epoch of 100)."""


def build(spec: DinoSpec, parts: Parts) -> SelfDistillation:
    return SelfDistillation(spec, parts.seed)


class SelfDistillation(Summed):
    """With the settings of `spec`; heads are drawn from `seed`."""

    def __init__(self, spec: DinoSpec, seed: int) -> None:
        self._spec, self._seed = spec, seed
        self._taught = torch.zeros(0)

    def wrapped(self, model: Any) -> nn.Module:
        width = encoders.freeze_unused(model, self._spec.image_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return Distilled(model, Head(width, self._spec.prototypes))

    def exported(self, module: nn.Module) -> Any:
        return _distilled(module).teacher

    def prepare(self, module: nn.Module) -> None:
        if any(isinstance(each, nn.modules.batchnorm._BatchNorm) for each in module.modules()):
            raise UserError(
                "model-not-for-objective",
                "spec.model",
                "this model normalises by the batch, so what the teacher says of an image would depend on the others.",
                "Write a model that normalises layers: preset vit-small, or model_type vit, dinov2 or convnext.",
            )

    def batch(self, samples: ImageSamples, positions: Int64s) -> Batch:
        """`large` uint8 [n, 2, 3, size, size], `small` uint8 [n, local, 3, local size, local size], and `valid` bool [n],
        false for stand-ins."""
        large, small, valid = crops(samples, positions, self._seed, self._spec)
        return Batch({"large": large, "small": small, "valid": valid})

    def targets(self, batch: Batch) -> Tensor:
        """One of each image: the mean over its pairs of crops."""
        return batch["valid"].long()

    def sums(self, module: nn.Module, batch: Batch, scale: float) -> Sums:
        """At the teacher's last temperature."""
        return self._sums(module, batch, scale, self._last_temperature)[0]

    def learn(self, module: nn.Module, passes: Passes, scale: float, moment: Moment) -> Tensor:
        losses, self._taught = [], torch.zeros(0)
        temperature = self.temperature(moment)
        for batch, real in passes:
            with passes.part("forward"), passes.context():
                sums, taught = self._sums(module, batch, scale, temperature)
            with passes.part("backward"):
                sums.objective.backward()  # type: ignore[no-untyped-call] # torch's has no annotations
            self._taught = taught if not len(self._taught) else self._taught + taught
            losses.append(sums.loss[:real])
        if self.is_frozen(moment):
            # Not None, which would keep it out of the step: then it would count fewer updates than others.
            gradient = _distilled(module).student_head.last.weight.grad
            assert gradient is not None
            gradient.zero_()
        return torch.cat(losses)

    def after_update(self, module: nn.Module, moment: Moment) -> None:
        """All ranks call it together: the centre is that of the global batch."""
        distilled = _distilled(module)
        if dist.is_initialized() and dist.get_world_size() > 1:
            with at(Phase.TOGETHER):
                dist.all_reduce(self._taught)
        *_, count = self._taught.unbind()
        distilled.recentre(self._taught[:-1] / count.clamp(min=1))
        distilled.follow(self.momentum(moment))

    def temperature(self, moment: Moment) -> float:
        """The teacher's."""
        first, done = self._spec.teacher_temperature, moment.samples / max(1, _WARM_PART * moment.total)
        return first + (self._last_temperature - first) * min(1.0, done)

    def momentum(self, moment: Moment) -> float:
        """The teacher's."""
        rest = 1 - self._spec.teacher_momentum
        return 1 - rest * (math.cos(math.pi * moment.samples / max(1, moment.total)) + 1) / 2

    def is_frozen(self, moment: Moment) -> bool:
        """Whether the last layer of the head stays as it is."""
        frozen = self._spec.frozen_samples
        return moment.samples < (_FROZEN_PART * moment.total if frozen is None else frozen)

    def embed(self, model: Any, pixels: Tensor) -> Tensor:
        """The class token, or the mean over places."""
        return encoders.embed(model, pixels)

    def figures(self, context: StageContext, places: Places, source: int, model: TrainedModel) -> Mapping[str, Any]:
        """The loss says little, as both sides of it move; the classifiers say the rest."""
        return {}

    def pictures(self, model: TrainedModel, pixels: Tensor, captions: Sequence[str]) -> Sequence[Picture]:
        """Where the class token looks."""
        return attention_maps(model.model, pixels)

    @property
    def _last_temperature(self) -> float:
        last = self._spec.final_teacher_temperature
        return self._spec.teacher_temperature if last is None else last

    def _sums(self, module: nn.Module, batch: Batch, scale: float, temperature: float) -> tuple[Sums, Tensor]:
        """And what the teacher said, added up over large crops, [prototypes + 1], with their number at the end."""
        said, taught = module(batch["large"], batch["small"])
        valid = batch["valid"]
        losses = cross_entropy(said, taught, _distilled(module).centre, temperature) * valid
        logits = (taught.to(losses.dtype) * valid[:, None]).sum(dim=(0, 1))
        count = (GLOBAL_CROPS * valid.sum()).to(losses.dtype)
        return Sums(losses.sum() * scale, losses.detach().float()), torch.cat([logits, count[None]])


def _distilled(module: nn.Module) -> Distilled:
    assert isinstance(module, Distilled)
    return module
