"""What ranks would import one by one, imported once before they are forked."""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING

from pretrain_api.errors import UserError

if TYPE_CHECKING:
    from pretrain_api.types import PretrainJobSpec

_LATE = (
    "pretrain_trainer.stages.train",
    "torch.distributed.checkpoint",
    "torch.optim.adamw",
    "s3fs",
)
"""Modules that a training comes to by itself, sooner or later."""


def preload(spec: PretrainJobSpec) -> None:
    """Import what a training of this job needs. What is wrong with the job is left to the ranks to tell."""
    for name in _LATE:
        importlib.import_module(name)
    from transformers import AutoModelForCausalLM

    from pretrain_trainer import models

    try:
        config = models.configuration(spec, vocab_size=1)
    except UserError:
        return
    # Looking the class up imports the file of the architecture.
    AutoModelForCausalLM._model_mapping.get(type(config), None)
    # What is there by now stays. A collection in a rank would touch all of it, and so copy every page that ranks share.
    gc.collect()
    gc.freeze()
