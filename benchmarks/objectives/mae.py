"""Speed of mae: our batches and steps against the Trainer of Hugging Face, as its example trains ViTMAEForPreTraining.

    python benchmarks/objectives/mae.py --output benchmarks/objectives/results/mae.json

Both decode, crop and mirror, and make a step of AdamW on the same model; the rival with torchvision's transforms, PyTorch's
loader and the model's own loss. The rival's loop waits in a thread while it is our turn.
"""

import argparse
import contextlib
import io
import queue
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset
from torchvision import transforms
from transformers import AutoConfig, Trainer, TrainerCallback, TrainingArguments, ViTMAEForPreTraining
from turns import WARM_STEPS, arguments, contest

from pretrain_api import presets
from pretrain_api.types.model import Mae
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.objectives import Moment, Passes
from pretrain_trainer.objectives.mae import MaskedAutoencoder
from pretrain_trainer.objectives.pixels import MEAN, STD

RATE = 1e-3


def model(options: argparse.Namespace) -> Any:
    torch.manual_seed(0)
    config = {**presets.config(options.preset), "image_size": options.size, "norm_pix_loss": True}
    return ViTMAEForPreTraining(AutoConfig.for_model(**config))


def ours(options: argparse.Namespace, images: list[bytes]) -> Iterator[float]:
    module = model(options).train()
    objective = MaskedAutoencoder(Mae(image_size=options.size), module.config.patch_size, 0)
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, fused=True)
    samples = ImageSamples(images, [""] * len(images), np.zeros(len(images), dtype=np.bool_), lambda row, why: None)
    start = 0
    while True:
        batch = objective.batch(samples, np.arange(start, start + options.batch))
        targets = int(objective.targets(batch).sum())
        optimizer.zero_grad()
        passes = Passes(batch, options.batch, options.batch, torch.device("cpu"), contextlib.nullcontext)
        losses = objective.learn(module, passes, 1 / targets, Moment(start, 1 << 20))
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        start += options.batch
        yield float(losses.sum()) / targets


class Files(Dataset):
    """For as many steps as there are."""

    def __init__(self, images: list[bytes], size: int, epochs: int) -> None:
        self.images, self.epochs = images, epochs
        self.transform = transforms.Compose(
            [
                transforms.Lambda(lambda image: image.convert("RGB")),
                transforms.RandomResizedCrop(size, scale=(0.2, 1.0)),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images) * self.epochs

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.transform(Image.open(io.BytesIO(self.images[index % len(self.images)])))}


class Turns(TrainerCallback):
    """Tells each step's loss, and waits until it is asked for the next one."""

    def __init__(self) -> None:
        self.asked, self.losses = queue.Queue[None](), queue.Queue[float]()

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        if logs and "loss" in logs:
            self.losses.put(logs["loss"])
            self.asked.get()


def theirs(options: argparse.Namespace, images: list[bytes]) -> Iterator[float]:
    turns, steps = Turns(), options.steps + WARM_STEPS
    data, trained = Files(images, options.size, steps + 1), model(options)

    def train() -> None:
        turns.asked.get()
        with tempfile.TemporaryDirectory() as folder:
            settings = TrainingArguments(
                output_dir=folder, max_steps=steps + 1, per_device_train_batch_size=options.batch, learning_rate=RATE,
                lr_scheduler_type="constant", optim="adamw_torch_fused", max_grad_norm=1.0, logging_steps=1,
                save_strategy="no", remove_unused_columns=False, report_to=[], disable_tqdm=True, use_cpu=True,
                dataloader_num_workers=0,
            )  # fmt: skip
            Trainer(model=trained, args=settings, train_dataset=data, callbacks=[turns]).train()

    threading.Thread(target=train, daemon=True).start()
    while True:
        turns.asked.put(None)
        yield turns.losses.get()


if __name__ == "__main__":
    contest(arguments(__doc__, "vit-mae-nano", 64, 64).parse_args(), ours, "huggingFace", theirs, ("accelerate",))
