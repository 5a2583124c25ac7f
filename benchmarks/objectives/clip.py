"""Steps of clip, ours and open_clip's, on the same images and captions, with models of the same shape, in turns.

    python benchmarks/objectives/clip.py --output benchmarks/objectives/results/NAME.json

A step is all that follows the batch: features of both encoders, loss, gradient, its norm, AdamW and the bound of the
temperature. Ours takes captions as wide as the batch's longest is, open_clip as wide as captions may be, as each does. The
first steps are left out. On a machine that others use too, the ratio of CPU time is the one to trust.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip.loss import ClipLoss
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor
from transformers import AutoConfig, AutoModelForZeroShotImageClassification

from pretrain_api import presets
from pretrain_api.types.model import Clip
from pretrain_api.types.training import AdamW, Optimizer
from pretrain_trainer.objectives import Batch, Moment, Passes
from pretrain_trainer.objectives.clip import ContrastivePretraining
from pretrain_trainer.objectives.pixels import normalised
from pretrain_trainer.training import optimizer as optimizers

WARM_STEPS = 2
VOCABULARY, END, PADDING = 1024, 0, 1
LIMIT = math.log(100)


def batch(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Random pixels uint8 [n, 3, side, side]; captions int64 [n, length] of 3 to `words` tokens and the end of text."""
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(
        generator.integers(0, 256, (options.batch, 3, options.side, options.side), dtype=np.uint8)
    )
    tokens = np.full((options.batch, options.length), PADDING)
    for row, words in enumerate(generator.integers(3, options.words + 1, options.batch)):
        tokens[row, :words] = generator.integers(2, VOCABULARY, words)
        tokens[row, words] = END
    return pixels, torch.from_numpy(tokens)


def ours(options: argparse.Namespace, pixels: Tensor, tokens: Tensor) -> Callable[[], float]:
    """A step; its loss."""
    config = presets.config("clip-nano")
    config["vision_config"]["image_size"] = options.side
    config["text_config"] |= {"vocab_size": VOCABULARY, "eos_token_id": END, "bos_token_id": END, "pad_token_id": None}
    model: Any = AutoModelForZeroShotImageClassification.from_config(AutoConfig.for_model(**config))
    objective = ContrastivePretraining(Clip(image_size=options.side), None, options.length, 0)  # type: ignore[arg-type]
    adamw = optimizers.build(model, Optimizer(adamw=AdamW()), options.batch)
    longest = int((tokens != PADDING).sum(dim=1).max())
    made = Batch({"pixels": pixels, "tokens": tokens[:, :longest], "valid": torch.ones(len(pixels), dtype=torch.bool)})
    micro = options.micro or options.batch
    passes = Passes(made, options.batch, micro, torch.device("cpu"), contextlib.nullcontext)

    def step() -> float:
        model.zero_grad()
        losses = objective.learn(model, passes, 1 / options.batch, Moment(0, 1))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        objective.after_update(model, Moment(0, 1))
        return float(losses.mean())

    return step


def theirs(options: argparse.Namespace, pixels: Tensor, tokens: Tensor) -> Callable[[], float]:
    """The same of open_clip."""
    shape = presets.config("clip-nano")["vision_config"]
    vision = CLIPVisionCfg(
        layers=shape["num_hidden_layers"],
        width=shape["hidden_size"],
        head_width=shape["hidden_size"] // shape["num_attention_heads"],
        patch_size=shape["patch_size"],
        image_size=options.side,
    )
    text = CLIPTextCfg(
        context_length=options.length,
        vocab_size=VOCABULARY,
        width=shape["hidden_size"],
        heads=shape["num_attention_heads"],
        layers=shape["num_hidden_layers"],
    )
    model: Any = CLIP(shape["projection_dim"], vision, text, quick_gelu=True)
    adamw = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1, fused=True)
    loss_of = ClipLoss(cache_labels=True)
    images = normalised(pixels)
    # open_clip pools at the greatest token, so that the end of text is the last of the vocabulary there.
    captions = torch.where(tokens == END, VOCABULARY - 1, torch.where(tokens == VOCABULARY - 1, END, tokens))

    def step() -> float:
        adamw.zero_grad()
        image_features, text_features, scale = model(images, captions)[:3]
        loss: Tensor = loss_of(image_features, text_features, scale)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, LIMIT)
        return float(loss.detach())

    return step


def quartiles(values: list[float]) -> dict[str, float]:
    return dict(zip(("lowerQuartile", "median", "upperQuartile"), statistics.quantiles(values), strict=True))


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    """Take turns and print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--micro", type=int, default=0, help="samples of a micro-batch of ours; 0: the whole batch")
    parser.add_argument("--side", type=int, default=64, help="of images, in pixels")
    parser.add_argument("--length", type=int, default=77, help="of captions, in tokens, with the end of text")
    parser.add_argument("--words", type=int, default=20, help="most tokens of a caption")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    pixels, tokens = batch(options)
    torch.manual_seed(0)
    steps = {"ours": ours(options, pixels, tokens), "openClip": theirs(options, pixels, tokens)}
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.steps + WARM_STEPS):
        for name, step in steps.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            losses[name].append(step())
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - began_cpu)
    wall, cpu = ({n: each[WARM_STEPS:] for n, each in times.items()} for times in (wall, cpu))
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {name: version(name) for name in ("torch", "transformers", "open-clip-torch")},
        "settings": {k: v for k, v in vars(options).items() if k != "output"},
        "samplesPerSecond": {n: quartiles([options.batch / s for s in each]) for n, each in wall.items()},
        "samplesPerCpuSecond": {n: quartiles([options.batch / s for s in each]) for n, each in cpu.items()},
        "ratio": quartiles([b / a for a, b in zip(wall["ours"], wall["openClip"], strict=True)]),
        "cpuTimeRatio": quartiles([b / a for a, b in zip(cpu["ours"], cpu["openClip"], strict=True)]),
        "losses": losses,
    }
    print(json.dumps({k: v for k, v in result.items() if k != "losses"}, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
