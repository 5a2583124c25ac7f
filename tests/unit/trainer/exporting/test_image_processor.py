"""The exported image processor gives a model the pixels that it was evaluated on, whatever the image."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from pretrain_trainer.exporting import beside
from pretrain_trainer.objectives.pixels import middle, normalised

SIZES = [(30, 90), (90, 30), (47, 61), (61, 47), (33, 32), (32, 33), (32, 32), (20, 21), (200, 31), (64, 500)]


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("sides", SIZES, ids=str)
def test_noise_of_any_shape_comes_out_the_same(tmp_path: Path, sides: tuple[int, int], size: int) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(beside.image_processor(size)))
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (sides[1], sides[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    found = processor(images=image, return_tensors="pt")["pixel_values"][0]
    expected = normalised(torch.from_numpy(middle(image, size)).permute(2, 0, 1))
    assert float((found - expected).abs().mean()) < 0.01
