"""A checkpoint in the form of other programs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

from pretrain_api import layout, objectives, records
from pretrain_api.errors import UserError
from pretrain_api.ledger import DataOrder
from pretrain_api.stages import Stage, fingerprint
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.checkpointing.catalogue import Entry
from pretrain_trainer.checkpointing.target import Target
from pretrain_trainer.checkpointing.tensors import manifest_of, read_tensor

Dtype = Literal["float32", "bfloat16"]


def to_dcp(storage: Storage, entry: Entry, target: Target) -> None:
    """Everything that is in it, as a checkpoint of torch.distributed.checkpoint: `dcp.load(state, checkpoint_id=folder)`."""
    from torch.distributed.checkpoint.state_dict_saver import save

    manifest = manifest_of(storage, entry)
    tensors = {name: read_tensor(storage, entry, manifest, name) for name in manifest["tensors"]}

    def write(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            save(tensors, checkpoint_id=folder, no_dist=True)

    target.publish(write, last=".metadata")


def to_hugging_face(storage: Storage, entry: Entry, target: Target, dtype: Dtype, job: PretrainJob | None) -> None:
    """The model alone with its tokenizer, as `from_pretrained` takes it. Without a job, that of the run's own record."""
    from transformers.utils import logging as transformers_logging

    from pretrain_trainer import tokenizer
    from pretrain_trainer.evaluation import trained
    from pretrain_trainer.exporting import beside, hugging_face
    from pretrain_trainer.reporting import records as reporting
    from pretrain_trainer.training.checkpoints import model_tensors

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    spec, upstream = (job or reporting.find(storage).job).spec, _upstream_of(storage, entry)
    if (own := fingerprint(Stage.TRAIN, spec, upstream)) != entry.commit.fingerprint:
        raise UserError(
            "job-of-another-training",
            "spec",
            f"the job defines the training {own}, but this checkpoint is of {entry.commit.fingerprint}.",
            "Give the job as it was when the checkpoint was made.",
        )
    place = layout.tokenizer(upstream[Stage.TOKENIZER])
    loaded = tokenizer.load_folder(storage, place) if objectives.reads_text(spec) else None
    module, objective = trained.untrained(spec, loaded)
    manifest = manifest_of(storage, entry)
    for name, tensor in model_tensors(module).items():
        tensor.copy_(read_tensor(storage, entry, manifest, name))
    model = objective.exported(module)
    files = beside.files(storage, spec, upstream)
    target.publish(lambda folder: hugging_face.write(model, files, folder, dtype), last=hugging_face.CONFIG)


def _upstream_of(storage: Storage, entry: Entry) -> dict[Stage, str]:
    """Identities of the stages that a training read: its ledger names the shards, and their record the tokenizer."""
    path = layout.ledger_order(entry.commit.fingerprint)
    try:
        encoded = DataOrder.model_validate(storage.read_json(path)).sources[0].folder.split("/")[1]
        tokenizer = records.read(storage, Stage.ENCODE, encoded).upstream[Stage.TOKENIZER]
    except (FileNotFoundError, ValueError, LookupError) as error:
        raise UserError(
            "run-unreadable",
            storage.uri(path),
            f"it does not lead to the run's tokenizer ({str(error).splitlines()[0]}).",
            "Restore that file and the records below stages/encode.",
        ) from error
    return {Stage.TOKENIZER: tokenizer, Stage.ENCODE: encoded}
