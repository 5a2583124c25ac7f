"""Encoders of images of transformers, whatever their shape: the features that they give, and which weights those come from."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from pretrain_trainer.objectives.pixels import normalised


def features(model: Any, numbers: Tensor) -> Tensor:
    """[n, width] of normalised images, float [n, 3, side, side]: the class token behind the last layer, or the mean over
    places where the model has none. Images may be of another size than the model was made for: its positions are
    interpolated."""
    settings = {"interpolate_pos_encoding": True} if _interpolates(type(model)) else {}
    found = model(pixel_values=numbers, **settings)
    tokens: Tensor = found.last_hidden_state
    return tokens[:, 0] if tokens.ndim == 3 else found.pooler_output.flatten(1)


def embed(model: Any, pixels: Tensor) -> Tensor:
    """`features` of uint8 [n, 3, side, side]."""
    return features(model, normalised(pixels))


def freeze_unused(model: Any, side: int) -> int:
    """Freeze the weights that the features do not come from, such as a pooler's: an optimizer would shrink them, and where
    ranks add gradients otherwise than alone. The features' width."""
    training = model.training
    model.eval()
    found = features(model, torch.ones(1, 3, side, side))
    found.sum().backward()  # type: ignore[no-untyped-call]
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    model.train(training)
    return int(found.shape[1])


def _interpolates(kind: type[Any]) -> bool:
    return "interpolate_pos_encoding" in inspect.signature(kind.forward).parameters
