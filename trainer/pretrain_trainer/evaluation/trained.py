"""The model that Train left behind, whole, on the device that works fastest; for the stages after training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.errors import PretrainError
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec
from pretrain_trainer import models, objectives, tokenizer
from pretrain_trainer.context import StageContext
from pretrain_trainer.objectives import Objective, Parts
from pretrain_trainer.tokenizer import LoadedTokenizer
from pretrain_trainer.training import checkpoints

if TYPE_CHECKING:
    from pretrain_trainer.objectives.image_objective import ImageObjective


@dataclass(frozen=True)
class TrainedModel:
    """What was trained, with its fp32 weights in evaluation mode, and the checkpoint it came from."""

    module: nn.Module
    model: Any
    """The model of transformers in it."""
    objective: Objective[Any]
    text: LoadedTokenizer | None
    """None where the objective reads no text."""
    commit: Commit

    @property
    def tokenizer(self) -> LoadedTokenizer:
        assert self.text is not None
        return self.text

    @property
    def of_images(self) -> ImageObjective:
        """The objective, where samples are images."""
        return cast("ImageObjective", self.objective)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device


def untrained(spec: PretrainJobSpec, loaded: LoadedTokenizer | None) -> tuple[nn.Module, Objective[Any]]:
    """What is trained as it is before the first step, and its objective; `loaded` is None where that reads no text."""
    model = models.of_job(spec, loaded)

    def checked() -> LoadedTokenizer:
        # It may be another one than when the tokenizer was taken.
        assert loaded is not None
        tokenizer.check_special_tokens(loaded, spec)
        return loaded

    parts = Parts(checked, spec.training.seed, model.config, spec.training.sequence_length)
    objective = objectives.build(spec.objective, parts)
    return objective.wrapped(model), objective


def load(context: StageContext) -> TrainedModel:
    """The final weights of the upstream Train stage. Raises PretrainError when that checkpoint is damaged."""
    loaded = tokenizer.of_job(context)
    module, objective = untrained(context.spec, loaded)
    commit = checkpoints.load_model(context.storage, context.upstream[Stage.TRAIN], module)
    final = str(context.record(Stage.TRAIN).details["checkpoint"])
    if commit.data != final:  # an older checkpoint is fine to resume from, but it is not the result
        raise PretrainError(
            f"The final checkpoint {context.storage.uri(final)} is damaged. Remove "
            f"{context.storage.uri(layout.record(Stage.TRAIN, context.upstream[Stage.TRAIN]))} and run the job again: "
            f"training goes on from step {commit.step}."
        )
    module.eval()
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    return TrainedModel(module, objective.exported(module), objective, loaded, commit)
