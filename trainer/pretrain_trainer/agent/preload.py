"""What ranks would import one by one, imported once before they are forked."""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING

from fsspec import get_filesystem_class
from fsspec.utils import get_protocol

from pretrain_api.errors import UserError
from pretrain_trainer import early

if TYPE_CHECKING:
    from pretrain_api.types import PretrainJobSpec


def preload(spec: PretrainJobSpec) -> None:
    """Import what a training of this job needs. What is wrong with the job is left to the ranks to tell."""
    # Looking a class up imports it. An instance of the file system would start a thread, and forks must have none.
    get_filesystem_class(get_protocol(spec.storage.uri))
    importlib.import_module("pretrain_trainer.stages.train")
    from pretrain_trainer import models

    try:
        config = models.configuration(spec, vocab_size=1)
    except UserError:
        return
    models.auto_class(spec)._model_mapping.get(type(config), None)
    # What is there by now stays. A collection in a rank would touch all of it, and so copy every page that ranks share.
    gc.collect()
    gc.freeze()
    early.collect_as_usual()
