"""A checkpoint in the form of other programs, as a folder that appears whole or not at all."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pretrain_api import layout, records
from pretrain_api.errors import UserError
from pretrain_api.ledger import DataOrder
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.checkpointing.catalogue import Entry
from pretrain_trainer.checkpointing.tensors import manifest_of, read_tensor
from pretrain_trainer.exporting import folders

Dtype = Literal["float32", "bfloat16"]


def to_dcp(storage: Storage, entry: Entry, target: str) -> None:
    """Everything that is in it, as a checkpoint of torch.distributed.checkpoint: `dcp.load(state, checkpoint_id=folder)`."""
    from torch.distributed.checkpoint.state_dict_saver import save

    manifest = manifest_of(storage, entry)
    tensors = {name: read_tensor(storage, entry, manifest, name) for name in manifest["tensors"]}

    def write(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            save(tensors, checkpoint_id=folder, no_dist=True)

    _published(target, write, last=".metadata")


def to_hugging_face(storage: Storage, entry: Entry, target: str, dtype: Dtype, job: PretrainJob | None) -> None:
    """The model alone with its tokenizer, as `from_pretrained` takes it. Without a job, that of the run's own record."""
    from transformers.utils import logging as transformers_logging

    from pretrain_trainer import models, tokenizer
    from pretrain_trainer.exporting import hugging_face
    from pretrain_trainer.reporting import records as reporting
    from pretrain_trainer.training.checkpoints import model_tensors

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    spec = (job or reporting.find(storage).job).spec
    place = layout.tokenizer(_tokenizer_of(storage, entry))
    loaded = tokenizer.load_folder(storage, place)
    model = models.build(spec, loaded.vocab_size, end_of_text=loaded.end_of_text, padding=loaded.padding)
    manifest = manifest_of(storage, entry)
    for name, tensor in model_tensors(model).items():
        tensor.copy_(read_tensor(storage, entry, manifest, name))
    files = tokenizer.with_length(tokenizer.read_files(storage, place), spec.training.sequence_length)
    _published(target, lambda folder: hugging_face.write(model, files, folder, dtype), last=hugging_face.CONFIG)


def check_target(target: str) -> None:
    """Raise UserError where there is something already."""
    parent, name = _place(target)
    if name in ("", ".", "..") or parent.names(name):
        raise UserError(
            "target-not-empty", target, "there is something already.", "Name a folder that is not there yet."
        )


def _tokenizer_of(storage: Storage, entry: Entry) -> str:
    """Identity of the tokenizer of a training: that of the shards which its ledger names."""
    order = DataOrder.model_validate(storage.read_json(layout.ledger_order(entry.commit.fingerprint)))
    encoded = order.sources[0].folder.split("/")[1]
    return records.read(storage, Stage.ENCODE, encoded).upstream[Stage.TOKENIZER]


def _place(target: str) -> tuple[Storage, str]:
    parent, _, name = target.rstrip("/").rpartition("/")
    return Storage(parent or ("/" if target.startswith("/") else ".")), name


def _published(target: str, write: Callable[[Path], None], last: str) -> None:
    parent, name = _place(target)
    with tempfile.TemporaryDirectory(prefix="pretrain-convert-") as folder:
        made = Path(folder) / "made"
        made.mkdir()
        write(made)
        folders.publish(parent, made, name, last=last)
