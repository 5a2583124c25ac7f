"""The rival: the same model, data, order and schedule in Hugging Face's Trainer, as its documentation starts it.

Masks are drawn by transformers' own collator. It has none for span corruption: spans are cut before the clock starts.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baton import Baton
from torch.utils.data import Dataset
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer import models, objectives
from pretrain_trainer.data.mixture import mixture_of, read_manifests
from pretrain_trainer.data.order import locate
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.objectives import Batch, Parts
from pretrain_trainer.tokenizer import load_folder


class Sequences(Dataset[Any]):
    """The sequences in the order in which our loop sees them, with the targets already shifted."""

    def __init__(self, tokens: np.ndarray) -> None:
        self._tokens = torch.from_numpy(tokens.astype(np.int64))

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        row = self._tokens[number]
        return {"input_ids": row[:-1], "labels": row[1:], "shift_labels": row[1:]}


class Texts(Dataset[Any]):
    """The same sequences as they lie, for a collator that makes targets of them."""

    def __init__(self, tokens: np.ndarray) -> None:
        self._tokens = torch.from_numpy(tokens[:, :-1].astype(np.int64))

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self._tokens[number]}


class Spans(Dataset[Any]):
    """What our objective makes of them, made beforehand."""

    def __init__(self, batch: Batch) -> None:
        self._batch = {name: tensor.long() for name, tensor in batch.tensors.items()}

    def __len__(self) -> int:
        return len(self._batch["inputs"])

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self._batch["inputs"][number], "labels": self._batch["targets"][number]}


class Turns(TrainerCallback):
    """Hands the turn back at the end of each step, once its loss is logged."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        if logs and "loss" in logs:
            self._baton.step_ended(logs["loss"])


def main() -> None:
    """Arguments: job file, identities of its Encode and Tokenizer stages."""
    job = PretrainJob.model_validate(json.loads(Path(sys.argv[1]).read_text()))
    spec, settings = job.spec, job.spec.training
    storage = Storage.of(spec.storage)
    manifests = read_manifests(storage, sys.argv[2], spec.data.sources)
    mixture = mixture_of(spec, [manifest for _, manifest in manifests])
    source, _, index = locate(mixture, np.arange(settings.steps * settings.global_batch_size))
    samples, collator = SampleReader(storage, manifests).read(source, index), None
    if spec.objective.masked_lm:
        known = AutoTokenizer.from_pretrained(storage.path(layout.tokenizer(sys.argv[3])))
        known.pad_token = known.eos_token
        collator = DataCollatorForLanguageModeling(known, mlm_probability=spec.objective.masked_lm.mask_probability)
        data: Dataset[Any] = Texts(samples.tokens)
    elif spec.objective.span_corruption:
        parts = Parts(lambda: load_folder(storage, layout.tokenizer(sys.argv[3])), settings.seed, None)
        objective = objectives.build(spec.objective, parts)
        data = Spans(objective.batch(samples, np.arange(len(samples.tokens), dtype=np.int64)))
    else:
        data = Sequences(samples.tokens)
    adamw, micro = settings.optimizer.adamw, settings.micro_batch_size
    baton = Baton()
    baton.wait_for_turn()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=models.build(spec, manifests[0][1].vocab_size, end_of_text=0, padding=0),
            args=TrainingArguments(
                output_dir=folder,
                max_steps=settings.steps,
                per_device_train_batch_size=micro,
                gradient_accumulation_steps=settings.global_batch_size // micro,
                learning_rate=adamw.learning_rate,
                weight_decay=adamw.weight_decay,
                adam_beta1=adamw.beta1,
                adam_beta2=adamw.beta2,
                adam_epsilon=adamw.epsilon,
                max_grad_norm=settings.max_gradient_norm,
                lr_scheduler_type="constant",
                train_sampling_strategy="sequential",
                bf16=settings.precision == "bf16",
                logging_steps=1,
                save_strategy="no",
                remove_unused_columns=False,
                report_to=[],
                disable_tqdm=True,
                use_cpu=not torch.cuda.is_available(),
            ),
            train_dataset=data,
            data_collator=collator,
            callbacks=[Turns(baton)],
        )
        trainer.train()


if __name__ == "__main__":
    main()
