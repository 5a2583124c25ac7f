"""Images of tests' own, as training takes them, and an encoder that is made in milliseconds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from support.tars import image
from transformers import AutoConfig, AutoModel

from pretrain_trainer.data.image_samples import ImageSamples

SIDE, PATCH = 16, 4
VIT = {
    "model_type": "vit", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": SIDE, "patch_size": PATCH, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


def images(count: int, stand_ins: Sequence[int] = ()) -> ImageSamples:
    """Different images of 32 x 24 px; some of them cannot be read."""
    missing = np.isin(np.arange(count), stand_ins)
    files = [b"" if gone else image(number, "PNG") for number, gone in enumerate(missing.tolist())]
    return ImageSamples(files, [""] * count, missing, lambda row, why: None)


def a_vit(dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """The same weights every time."""
    torch.manual_seed(1)
    return AutoModel.from_config(AutoConfig.for_model(**{**VIT, **changes}), dtype=dtype)
