"""Fine-tunes an encoder of images that `pretrain run` has made, on few labels and on many, beside random weights.

    python examples/finetune_images.py runs/simclr
    python examples/finetune_images.py runs/mae --steps 300 --plot gain.svg

It learns from the images that the run was trained on, now with labels, and is scored on those that the run held out. Both
models get the same images in the same order, the same steps and the same seeds; only the weights that they start from differ.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fsspec.core import url_to_fs
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
    set_seed,
)
from transformers.utils import logging

BATCH_SIZE = 32
FEW_LABELS = 100


class Split(NamedTuple):
    """Images float [n, 3, side, side] as the encoder takes them, and the number of each one's label."""

    pixels: torch.Tensor
    labels: torch.Tensor

    def some(self, count: int, seed: int) -> Split:
        """So many of them at random."""
        chosen = torch.from_numpy(np.random.default_rng(seed).permutation(len(self.labels))[:count])
        return Split(self.pixels[chosen], self.labels[chosen])

    def examples(self) -> list[dict[str, torch.Tensor]]:
        return [
            {"pixel_values": pixels, "labels": label} for pixels, label in zip(self.pixels, self.labels, strict=True)
        ]


def read(run: Path, field: str) -> tuple[Split, Split, list[str]]:
    """What the run trained on and what it held out, of its first source; and the names of the labels."""
    (shards,) = [path.parent for path in sorted(run.glob("shards/*/*/held-out.npy"))][:1]
    manifest = Path(url_to_fs(json.loads((shards / "manifest.json").read_text())["uri"])[1])
    held_out = set(np.load(shards / "held-out.npy").tolist())
    processor = AutoImageProcessor.from_pretrained(run / "export" / "huggingface")
    sides: tuple[list[Any], list[Any]] = [], []
    for number, sample in enumerate(records(manifest)):
        image = Image.open(io.BytesIO(next(sample[name] for name in ("png", "jpg", "webp") if name in sample)))
        pixels = processor(on_white(image), return_tensors="pt").pixel_values[0]
        sides[number in held_out].append((pixels, str(json.loads(sample["json"])[field])))
    names = sorted({label for side in sides for _, label in side})
    train, test = (
        Split(torch.stack([pixels for pixels, _ in side]), torch.tensor([names.index(label) for _, label in side]))
        for side in sides
    )
    return train, test, names


def on_white(image: Image.Image) -> Image.Image:
    """As pre-training saw it."""
    opaque = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), opaque).convert("RGB")


def records(manifest: Path) -> Iterator[dict[str, bytes]]:
    """The members of each record of the shards by what follows its key, in the order of the records' numbers."""
    for shard in json.loads(manifest.read_text())["shards"]:
        with tarfile.open(manifest.parent / shard["name"]) as tar:
            files = ((file.name.partition("."), tar.extractfile(file)) for file in tar if file.isfile())
            for _, members in itertools.groupby(files, key=lambda member: member[0][0]):
                yield {name: content.read() for (_, _, name), content in members if content}


def encoder(folder: Path, names: list[str], is_pretrained: bool) -> Any:
    """The exported encoder below a new layer for the labels, with its weights or with random ones."""
    config, kind = AutoConfig.from_pretrained(folder), AutoModelForImageClassification
    if config.model_type == "vit_mae":  # the encoder's layers are those of a ViT, which sees every patch
        known = ViTConfig().to_dict()
        config = ViTConfig(**{k: v for k, v in config.to_dict().items() if k in known and k != "model_type"})
        kind = ViTForImageClassification
    config.num_labels = len(names)
    if is_pretrained:
        return kind.from_pretrained(folder, config=config)
    return kind.from_config(config) if kind is AutoModelForImageClassification else kind(config)


def fine_tune(model: Any, train: Split, test: Split, steps: int, seed: int) -> float:
    """Fine-tune; the share of the held-out images whose label is hit."""
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH_SIZE,
            per_device_eval_batch_size=128,
            learning_rate=1e-3,
            warmup_steps=steps // 10,
            lr_scheduler_type="cosine",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=seed,
        )
        trainer = Trainer(
            model=model,
            args=settings,
            train_dataset=train.examples(),
            eval_dataset=test.examples(),
            compute_metrics=lambda found: {"accuracy": float((found.predictions == found.label_ids).mean())},
            preprocess_logits_for_metrics=lambda logits, labels: (
                logits[0] if isinstance(logits, tuple) else logits
            ).argmax(-1),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return float(trainer.evaluate()["eval_accuracy"])


def draw(table: dict[int, dict[str, list[float]]], title: str, path: Path) -> None:
    """Accuracy over the number of labels, with the spread over seeds."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.5, 3.5), layout="constrained")
    for name, color in (("pre-trained", "tab:blue"), ("random weights", "tab:gray")):
        values = np.array([table[count][name] for count in table])
        axes.plot(list(table), values.mean(axis=1), "o-", color=color, label=name)
        axes.fill_between(list(table), values.min(axis=1), values.max(axis=1), color=color, alpha=0.2, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(list(table), [str(count) for count in table], minor=False)
    axes.minorticks_off()
    axes.set(xlabel="images with labels", ylabel="accuracy on held-out images", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def main() -> None:
    """Fine-tune with more and more labels, print the table and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run of an objective of images, spec.storage.uri of its job")
    parser.add_argument("--labels", default="category", help="field of the records' JSON with the label")
    parser.add_argument("--steps", type=int, default=150, help="steps of fine-tuning")
    parser.add_argument("--seeds", type=int, default=3, help="repetitions, each with other images and random weights")
    parser.add_argument("--plot", type=Path, help="file for a picture: .svg, .png")
    options = parser.parse_args()
    if not list(options.run.glob("shards/*/*/held-out.npy")) or not (options.run / "export" / "huggingface").exists():
        print(f"{options.run} is no run of images that has ended. Give the folder of one.", file=sys.stderr)
        raise SystemExit(2)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    train, test, names = read(options.run, options.labels)
    counts = [n for n in (FEW_LABELS, 4 * FEW_LABELS) if n < len(train.labels)] + [len(train.labels)]
    print(f"{len(names)} labels, {len(test.labels)} images for the score, {options.steps} steps, {options.seeds} seeds")
    print(f"{'images':>8}{'random weights':>18}{'pre-trained':>15}{'gain (least)':>18}")
    table: dict[int, dict[str, list[float]]] = {}
    for count in counts:
        table[count] = {"random weights": [], "pre-trained": []}
        for seed in range(options.seeds):
            for name, found in table[count].items():
                set_seed(seed)
                model = encoder(options.run / "export" / "huggingface", names, name == "pre-trained")
                found.append(fine_tune(model, train.some(count, seed), test, options.steps, seed))
        random, pre_trained = table[count].values()
        gains = [a - b for a, b in zip(pre_trained, random, strict=True)]
        print(
            f"{count:>8}{statistics.mean(random):>18.1%}{statistics.mean(pre_trained):>15.1%}"
            f"{statistics.mean(gains):>+10.1%} ({min(gains):+.1%})",
            flush=True,
        )
    if options.plot:
        draw(table, f"Fine-tuning {options.run.name} on {options.labels}", options.plot)


if __name__ == "__main__":
    main()
