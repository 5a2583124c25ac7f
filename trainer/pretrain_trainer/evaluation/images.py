"""Evaluate, where samples are images: the loss on those that are held out, and what the features are good for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from pretrain_api import layout
from pretrain_api.image_shards import ImageManifest
from pretrain_api.nouns import counted
from pretrain_api.objectives import image_size
from pretrain_api.stages import Flow
from pretrain_trainer import tokenizer
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.data import opened
from pretrain_trainer.data.opened import Places
from pretrain_trainer.evaluation import losses, pictures, probes, trained
from pretrain_trainer.evaluation.probes import Labelled
from pretrain_trainer.evaluation.trained import TrainedModel
from pretrain_trainer.objectives.image_objective import embedded
from pretrain_trainer.objectives.pixels import middles
from pretrain_trainer.training import precision

_BATCH = 64
MOST_TRAINING, MOST_HELD_OUT = 20_000, 10_000
"""Images of a source that classifiers learn from and are judged by, evenly spread."""


def run(context: StageContext) -> StageResult:
    """Write `evaluation/<fingerprint>.json` and pictures beside it; the content is also the record's details."""
    places = opened.manifests(context)
    model = trained.load(context)
    # The weights before the first step, by the job's seed.
    random, _ = trained.untrained(context.spec, tokenizer.of_job(context))
    random.eval().to(model.device)
    by_source = {}
    for number, (_, manifest) in enumerate(places):
        if manifest.validation.samples:
            assert isinstance(manifest, ImageManifest)
            by_source[manifest.source] = _figures(context, places, number, model, model.objective.exported(random))
    drawn = pictures.write(context, places, model)
    details = {"version": 1, "bySource": by_source, "samples": [], "pictures": drawn}
    context.storage.write_json(f"{layout.EVALUATION}/{context.fingerprint}.json", details)
    flows = {
        manifest.source: Flow(documents_in=manifest.validation.samples, documents_out=manifest.validation.samples)
        for _, manifest in places
    }
    return StageResult(Flow.total(flows.values()), flows, _message(by_source), details)


def _figures(context: StageContext, places: Places, source: int, model: TrainedModel, random: Any) -> dict[str, Any]:
    objective = model.of_images
    manifest = places[source][1]
    held_out = manifest.validation.samples

    def after_batch(done: int) -> None:
        context.check_stopping()
        context.progress.update("loss", done, held_out, "images", message=f"Loss on {manifest.source}")

    measured = losses.source_loss(
        model.module,
        model.objective,
        opened.reader(context.storage, places, "validation", opened.quarantine(context)),
        source,
        held_out,
        _BATCH,
        model.device,
        precision.resolve(context.spec.training.precision, model.device),
        after_batch,
    )
    figures: dict[str, Any] = {"loss": measured.mean, "images": held_out, "baselines": {}}
    figures.update(objective.figures(context, places, source, model))
    if not context.spec.evaluation.labels:
        return figures
    size = image_size(context.spec)
    field = context.spec.evaluation.labels
    training, labels = read(context, places, source, "train", size, MOST_TRAINING, field)
    judged, held_out_labels = read(context, places, source, "validation", size, MOST_HELD_OUT, field)
    if len(labels) < 2 or not held_out_labels:
        return figures

    def accuracies(what: str, features: Any) -> dict[str, float]:
        context.check_stopping()
        context.progress.update("probes", 0, None, "", message=f"Classifying {manifest.source} by {what}")
        pair = Labelled(features(training), labels), Labelled(features(judged), held_out_labels)
        return probes.accuracies(*pair)

    figures.update(accuracies("what was learnt", lambda pixels: embedded(objective, model.model, pixels)))
    others = {
        "random": accuracies("random weights", lambda pixels: embedded(objective, random, pixels)),
        "pixels": accuracies("raw pixels", lambda pixels: pixels.numpy().reshape(len(pixels), -1).astype(np.float32)),
    }
    none = np.zeros((0, 0), dtype=np.float32)
    figures["classes"] = len(set(labels))
    figures["baselines"] = {
        **figures["baselines"],
        **{
            f"{who}{name[0].upper()}{name[1:]}": value for who, found in others.items() for name, value in found.items()
        },
        "mostFrequent": probes.most_frequent(Labelled(none, labels), Labelled(none, held_out_labels)),
    }
    return figures


def read(
    context: StageContext,
    places: Places,
    source: int,
    split: Literal["train", "validation"],
    size: int,
    most: int,
    field: str | None,
) -> tuple[torch.Tensor, list[str]]:
    """Pixels uint8 [n, 3, size, size] of a source's images and the texts beside them: captions, or what `field` names. Those
    that lack one of the two are left out."""
    reader = opened.reader(context.storage, places, split, opened.quarantine(context), field=field)
    there = getattr(places[source][1], split).samples
    count = min(there, most)
    index = np.arange(count, dtype=np.int64) * there // max(1, count)
    parts, texts = [], list[str]()
    for some in np.array_split(index, max(1, -(-count // 256))):
        context.check_stopping()
        samples: Any = reader.read(np.full(len(some), source, dtype=np.int64), some)
        pixels, is_there = middles(samples, size)
        parts.append(pixels[is_there])
        texts += [text for text, there in zip(samples.captions, is_there.tolist(), strict=True) if there]
        context.progress.update("read", len(texts), count, "images")
    return torch.cat(parts), texts


def _message(by_source: Mapping[str, Mapping[str, Any]]) -> str:
    if not by_source:
        return "No image was held out: raise spec.data.validation.fraction for figures of held-out images."
    parts = []
    for name, figures in by_source.items():
        told = f"{name} loss {figures['loss']:.4f} over {counted(figures['images'], 'image')}"
        if "knnAccuracy" in figures:
            others = figures["baselines"]
            told += f", k-NN accuracy {figures['knnAccuracy']:.3f} (random weights {others['randomKnnAccuracy']:.3f},"
            told += f" pixels {others['pixelsKnnAccuracy']:.3f})"
        if "imageToTextRecall5" in figures:
            told += f", image to text recall@5 {figures['imageToTextRecall5']:.3f}"
        parts.append(told)
    return "; ".join(parts)
