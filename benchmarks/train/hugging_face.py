"""The rival: the same model, data, order and schedule in Hugging Face's Trainer, as its documentation starts it."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baton import Baton
from transformers import Trainer, TrainerCallback, TrainingArguments

from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer import models
from pretrain_trainer.data.mixture import mixture_of, read_manifests
from pretrain_trainer.data.order import locate
from pretrain_trainer.data.reader import SampleReader


class Sequences(torch.utils.data.Dataset):
    """The sequences in the order in which our loop sees them, with the targets already shifted."""

    def __init__(self, tokens: np.ndarray) -> None:
        self._tokens = torch.from_numpy(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        row = self._tokens[number]
        return {"input_ids": row[:-1], "labels": row[1:], "shift_labels": row[1:]}


class Turns(TrainerCallback):
    """Hands the turn back at the end of each step, once its loss is logged."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        if logs and "loss" in logs:
            self._baton.step_ended(logs["loss"])


def main() -> None:
    """Arguments: job file, identity of its Encode stage."""
    job = PretrainJob.model_validate(json.loads(Path(sys.argv[1]).read_text()))
    spec, settings = job.spec, job.spec.training
    storage = Storage.of(spec.storage)
    manifests = read_manifests(storage, sys.argv[2], spec.data.sources)
    mixture = mixture_of(spec, [manifest for _, manifest in manifests])
    source, _, index = locate(mixture, np.arange(settings.steps * settings.global_batch_size))
    tokens = SampleReader(storage, manifests).read(source, index).tokens
    adamw, micro = settings.optimizer.adamw, settings.micro_batch_size
    baton = Baton()
    baton.wait_for_turn()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=models.build(spec, manifests[0][1].vocab_size),
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
            train_dataset=Sequences(tokens),
            callbacks=[Turns(baton)],
        )
        trainer.train()


if __name__ == "__main__":
    main()
