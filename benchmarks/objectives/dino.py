"""Speed of dino: our batches and steps against those that a user of lightly writes, same encoder, images, crops and batch.

    python benchmarks/objectives/dino.py --output benchmarks/objectives/results/dino.json

Both decode, crop, colour and blur two large and four small views of each image, and make a step of AdamW and one of the teacher;
lightly by its transform, head and loss, as its example does, with PyTorch's loader.
"""

import argparse
import contextlib
import copy
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.dino_transform import DINOTransform
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import AutoConfig, AutoModel
from turns import arguments, contest

from pretrain_api import presets
from pretrain_api.types.model import Dino
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.objectives import Moment, Passes
from pretrain_trainer.objectives.dino import SelfDistillation

LOCAL_CROPS, PROTOTYPES, MOMENTUM, RATE = 4, 4096, 0.996, 1e-3
HIDDEN, BOTTLENECK = 1024, 256
"""Of our head for an encoder 128 wide."""


def encoder(options: argparse.Namespace) -> nn.Module:
    torch.manual_seed(0)
    config = {**presets.config(options.preset), "image_size": options.size}
    return AutoModel.from_config(AutoConfig.for_model(**config))


def ours(options: argparse.Namespace, images: list[bytes]) -> Iterator[float]:
    spec = Dino(
        image_size=options.size,
        local_image_size=options.size // 2,
        local_crops=LOCAL_CROPS,
        prototypes=PROTOTYPES,
        frozen_samples=0,
    )
    objective = SelfDistillation(spec, 0)
    module = objective.wrapped(encoder(options)).train()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, fused=True)
    samples = ImageSamples(images, [""] * len(images), np.zeros(len(images), dtype=np.bool_), lambda row, why: None)
    start = 0
    while True:
        moment = Moment(start, 1 << 20)
        batch = objective.batch(samples, np.arange(start, start + options.batch))
        optimizer.zero_grad()
        passes = Passes(batch, options.batch, options.batch, torch.device("cpu"), contextlib.nullcontext)
        losses = objective.learn(module, passes, 1 / options.batch, moment)
        optimizer.step()
        objective.after_update(module, moment)
        start += options.batch
        yield float(losses.mean())


class Files(Dataset):
    """As lightly's own data set gives them."""

    def __init__(self, images: list[bytes], transform: Any) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        return self.transform(Image.open(io.BytesIO(self.images[index])).convert("RGB"))


def theirs(options: argparse.Namespace, images: list[bytes]) -> Iterator[float]:
    student = encoder(options).train()
    head, teacher_head = (
        DINOProjectionHead(student.config.hidden_size, HIDDEN, BOTTLENECK, PROTOTYPES) for _ in range(2)
    )
    teacher = copy.deepcopy(student)
    teacher_head.load_state_dict(head.state_dict())  # a layer with normed weights cannot be copied
    for each in (teacher, teacher_head):
        deactivate_requires_grad(each)
    optimizer = torch.optim.AdamW([*student.parameters(), *head.parameters()], lr=RATE, fused=True)
    criterion = DINOLoss(PROTOTYPES, teacher_temp=0.04, warmup_teacher_temp_epochs=1)
    transform = DINOTransform(
        global_crop_size=options.size, local_crop_size=options.size // 2, n_local_views=LOCAL_CROPS
    )
    loader = DataLoader(Files(images, transform), batch_size=options.batch, num_workers=0)

    def said(encoder: Any, head: nn.Module, view: torch.Tensor) -> torch.Tensor:
        return head(encoder(pixel_values=view, interpolate_pos_encoding=True).last_hidden_state[:, 0])

    while True:
        for views in loader:
            update_momentum(student, teacher, m=MOMENTUM)
            update_momentum(head, teacher_head, m=MOMENTUM)
            with torch.no_grad():
                taught = [said(teacher, teacher_head, view) for view in views[:2]]
            loss = criterion(taught, [said(student, head, view) for view in views])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield float(loss.detach())


if __name__ == "__main__":
    contest(arguments(__doc__, "vit-nano", 64, 32).parse_args(), ours, "lightly", theirs, ("lightly",))
