"""Pictures of what a model does with held-out images, as files beside the evaluation that the report shows."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from pretrain_api import layout
from pretrain_api.objectives import image_size
from pretrain_trainer.context import StageContext
from pretrain_trainer.data import opened
from pretrain_trainer.data.opened import Places
from pretrain_trainer.evaluation.trained import TrainedModel
from pretrain_trainer.objectives.image_objective import Picture, embedded
from pretrain_trainer.objectives.pixels import middle

_SHOWN = 16
_ON_THE_MAP = 600
_MAP_SIDE, _THUMBNAIL = 1200, 28
"""Pixels of the map of features, and of an image on it."""


def write(context: StageContext, places: Places, model: TrainedModel) -> list[dict[str, str]]:
    """Draw the objective's pictures and a map of features; name, title, text and path of each."""
    images, captions = some_images(context, places, "validation", _ON_THE_MAP)
    if not images:
        return []
    size = image_size(context.spec)
    shown = torch.from_numpy(np.stack([middle(image, size) for image in images])).permute(0, 3, 1, 2)
    context.progress.update("pictures", 0, None, "", message="Drawing pictures")
    objective = model.of_images
    some = np.linspace(0, len(shown) - 1, min(_SHOWN, len(shown))).astype(int)
    drawn = [*objective.pictures(model, shown[some], [captions[place] for place in some])]
    if len(shown) > _SHOWN:
        drawn.append(feature_map(embedded(objective, model.model, shown), shown))
    listed = []
    for picture in drawn:
        buffer = io.BytesIO()
        picture.image.save(buffer, "PNG", optimize=True)
        path = f"{layout.EVALUATION}/{context.fingerprint}-{picture.name}.png"
        context.storage.write_bytes(path, buffer.getvalue())
        listed.append({"name": picture.name, "title": picture.title, "about": picture.about, "path": path})
    return listed


def feature_map(features: np.ndarray, pixels: torch.Tensor) -> Picture:
    """Images where t-SNE (van der Maaten and Hinton 2008) puts their features, of which neighbours stay neighbours."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    places = TSNE(metric="cosine", init="pca", perplexity=perplexity, random_state=0).fit_transform(features)
    low, high = places.min(axis=0), places.max(axis=0)
    corners = ((places - low) / np.maximum(high - low, 1e-9) * (_MAP_SIDE - _THUMBNAIL)).astype(int)
    sheet = Image.new("RGB", (_MAP_SIDE, _MAP_SIDE), "white")
    for (left, top), image in zip(corners.tolist(), pixels, strict=True):
        sheet.paste(as_image(image).resize((_THUMBNAIL, _THUMBNAIL)), (left, top))
    return Picture(
        "features",
        "Map of features",
        f"{len(pixels)} held-out images, those with similar features near each other.",
        sheet,
    )


def as_image(pixels: torch.Tensor) -> Image.Image:
    """From uint8 [3, height, width]."""
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def some_images(
    context: StageContext, places: Places, split: Literal["train", "validation"], most: int
) -> tuple[list[Image.Image], list[str]]:
    """Images of all sources, evenly spread, and their captions."""
    reader = opened.reader(context.storage, places, split, opened.quarantine(context))
    there = [getattr(manifest, split).samples for _, manifest in places]
    found = [(source, index) for source, count in enumerate(there) for index in range(count)]
    chosen = (
        [found[place] for place in np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)] if found else []
    )
    source, index = np.array(chosen, dtype=np.int64).reshape(-1, 2).T
    samples: Any = reader.read(source, index)
    images = samples.decoded(lambda image, row: image)
    pairs = [pair for pair in zip(images, samples.captions, strict=True) if pair[0] is not None]
    return [image for image, _ in pairs], [caption for _, caption in pairs]
