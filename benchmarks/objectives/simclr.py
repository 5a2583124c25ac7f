"""Speed of simclr: our batches and steps against those that a user of lightly writes, same encoder, images and batch.

    python benchmarks/objectives/simclr.py --output benchmarks/objectives/results/simclr.json

Both decode, crop, colour and blur two views of each image, and make a step of LARS; lightly by its transform, head, loss and
optimizer, with PyTorch's loader. They take turns step by step in one process on one thread, so that both meet the same noise, and
what is compared is CPU time: wall clocks of a machine that others use too say little. The first steps are left out.
"""

import argparse
import contextlib
import io
from collections.abc import Callable, Iterator

import numpy as np
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from lightly.utils.lars import LARS
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import AutoConfig, AutoModel
from turns import arguments, contest

from pretrain_api import presets
from pretrain_api.types.model import SimClr as SimClrSpec
from pretrain_api.types.training import Lars
from pretrain_api.types.training import Optimizer as OptimizerSpec
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.objectives import Moment, Passes
from pretrain_trainer.objectives.simclr import SimClr
from pretrain_trainer.training import optimizer as optimizers


def encoder(preset: str, size: int) -> nn.Module:
    torch.manual_seed(0)
    config = presets.config(preset)
    if not preset.startswith("resnet"):
        config["image_size"] = size
    return AutoModel.from_config(AutoConfig.for_model(**config))


def ours(options: argparse.Namespace, images: list[bytes]) -> Iterator[float]:
    objective = SimClr(SimClrSpec(image_size=options.size, projection_size=128, color_strength=0.5), 0)
    module = objective.wrapped(encoder(options.preset, options.size)).train()
    optimizer = optimizers.build(module, OptimizerSpec(lars=Lars()), options.batch)
    samples = ImageSamples(images, [""] * len(images), np.zeros(len(images), dtype=np.bool_), lambda row, why: None)
    moment, start = Moment(0, 1), 0
    while True:
        batch = objective.batch(samples, np.arange(start, start + options.batch))
        for parameter in module.parameters():
            parameter.grad = None
        passes = Passes(batch, options.batch, options.batch, torch.device("cpu"), contextlib.nullcontext)
        losses = objective.learn(module, passes, 1 / (2 * options.batch), moment)
        optimizer.step()
        objective.after_update(module, moment)
        start += options.batch
        yield float(losses.sum()) / (2 * options.batch)


class Files(Dataset):
    """As lightly's own data set gives them."""

    def __init__(self, images: list[bytes], transform: Callable[[Image.Image], list[torch.Tensor]]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        return self.transform(Image.open(io.BytesIO(self.images[index])).convert("RGB"))


def theirs(options: argparse.Namespace, images: list[bytes]) -> Iterator[float]:
    model, width = encoder(options.preset, options.size).train(), 128
    head = SimCLRProjectionHead(width, width, 128)
    parameters = [*model.parameters(), *head.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 1e-6},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer, criterion = LARS(groups, lr=0.3 * options.batch / 256, momentum=0.9), NTXentLoss(temperature=0.1)
    transform = SimCLRTransform(input_size=options.size, cj_strength=0.5, gaussian_blur=0.5)
    loader = DataLoader(Files(images, transform), batch_size=options.batch, num_workers=0)
    while True:
        for views in loader:
            features = [model(pixel_values=view).pooler_output.flatten(1) for view in views]
            loss = criterion(*(head(each) for each in features))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield float(loss.detach())


def main() -> None:
    """Take turns, and print and write the figures."""
    options = arguments(__doc__, "resnet-nano", 256, 32).parse_args()  # whose features are 128 wide
    contest(options, ours, "lightly", theirs, ("lightly",))


if __name__ == "__main__":
    main()
