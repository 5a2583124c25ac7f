"""The model that Train left behind, whole, on the device that works fastest; for the stages after training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.errors import PretrainError
from pretrain_api.stages import Stage
from pretrain_trainer import models, tokenizer
from pretrain_trainer.context import StageContext
from pretrain_trainer.tokenizer import LoadedTokenizer
from pretrain_trainer.training import checkpoints


@dataclass(frozen=True)
class TrainedModel:
    """A transformers model with its fp32 weights in evaluation mode, its tokenizer and the checkpoint it came from."""

    model: Any
    tokenizer: LoadedTokenizer
    commit: Commit

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device


def load(context: StageContext) -> TrainedModel:
    """The final weights of the upstream Train stage. Raises PretrainError when that checkpoint is damaged."""
    loaded = tokenizer.load(context)
    model = models.build(context.spec, loaded.vocab_size, end_of_text=loaded.end_of_text, padding=loaded.padding)
    commit = checkpoints.load_model(context.storage, context.upstream[Stage.TRAIN], model)
    final = str(context.record(Stage.TRAIN).details["checkpoint"])
    if commit.data != final:  # an older checkpoint is fine to resume from, but it is not the result
        raise PretrainError(
            f"The final checkpoint {context.storage.uri(final)} is damaged. Remove "
            f"{context.storage.uri(layout.record(Stage.TRAIN, context.upstream[Stage.TRAIN]))} and run the job again: "
            f"training goes on from step {commit.step}."
        )
    model.eval()
    return TrainedModel(model.to("cuda" if torch.cuda.is_available() else "cpu"), loaded, commit)
