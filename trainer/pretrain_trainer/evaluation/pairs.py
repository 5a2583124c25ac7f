"""Figures of models that hold images against texts: retrieval of held-out pairs, and labels told by words alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pretrain_api.objectives import image_size
from pretrain_trainer.evaluation import images, retrieval, trained
from pretrain_trainer.objectives.clip import ContrastivePretraining, image_features, text_features

if TYPE_CHECKING:
    from pretrain_trainer.context import StageContext
    from pretrain_trainer.data.opened import Places
    from pretrain_trainer.evaluation.trained import TrainedModel

_BATCH = 64


def figures(
    context: StageContext, places: Places, source: int, model: TrainedModel, objective: ContrastivePretraining
) -> dict[str, Any]:
    """Recall of the source's held-out pairs in both directions and, where the job names labels, zero-shot accuracy; the same
    of the weights before the first step, and of chance, as baselines."""
    size, labels = image_size(context.spec), context.spec.evaluation.labels
    module, _ = trained.untrained(context.spec, model.text)
    random: Any = objective.exported(module).eval().to(model.device)
    held_out, captions = images.read(context, places, source, "validation", size, images.MOST_HELD_OUT, None)
    if not captions:
        return {}
    shown, named = held_out[:0], list[str]()
    if labels:
        shown, named = images.read(context, places, source, "validation", size, images.MOST_HELD_OUT, labels)
    classes = sorted(set(named))

    def measured(towers: Any, what: str) -> dict[str, float]:
        context.check_stopping()
        context.progress.update("pairs", 0, None, "", message=f"Holding images against texts by {what}")
        texts = of_texts(objective, towers, captions)
        found = retrieval.recalls(of_images(towers, held_out), texts, captions)
        if len(classes) > 1:
            prototypes = label_features(objective, towers, classes, context.spec.evaluation.prompt_templates)
            told = (of_images(towers, shown) @ prototypes.T).argmax(axis=1)
            found["zeroShotAccuracy"] = float(np.mean(np.asarray(classes)[told] == np.asarray(named)))
        return found

    own = measured(model.model, "what was learnt")
    chance = retrieval.chances(captions) | ({"zeroShotAccuracy": 1 / len(classes)} if len(classes) > 1 else {})
    others = {"random": measured(random, "random weights"), "chance": chance}
    baselines = {
        f"{who}{name[0].upper()}{name[1:]}": value for who, found in others.items() for name, value in found.items()
    }
    return {**own, "baselines": baselines}


def label_features(
    objective: ContrastivePretraining, towers: Any, classes: Sequence[str], templates: Sequence[str]
) -> np.ndarray:
    """float32 [classes, width], of length 1: the mean over templates of what they say of a label (section 3.1.4 of
    arXiv:2103.00020); of the label itself where there are none."""
    written = [template.replace("{}", label) for label in classes for template in templates or ("{}",)]
    features = of_texts(objective, towers, written).reshape(len(classes), -1, towers.config.projection_dim)
    means = features.mean(axis=1)
    found: np.ndarray = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return found


def of_images(towers: Any, pixels: Tensor) -> np.ndarray:
    """float32 [n, width] of images uint8 [n, 3, size, size], by batches on the model's device."""
    return _by_batches(lambda some: image_features(towers, some.to(towers.device)), torch.split(pixels, _BATCH))


def of_texts(objective: ContrastivePretraining, towers: Any, texts: Sequence[str]) -> np.ndarray:
    """float32 [n, width] of texts."""
    parts = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
    return _by_batches(lambda some: text_features(towers, objective.tokens(some).to(towers.device)), parts)


def _by_batches(features: Callable[[Any], Tensor], parts: Sequence[Any]) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = torch.cat([features(part).float().cpu() for part in parts]).numpy()
    return found
