"""The files of an exported folder beside the weights: what turns text into tokens, and images into pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pretrain_api import layout, objectives
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJobSpec
from pretrain_trainer.tokenizer import ending_captions, read_files, with_length

IMAGE_PROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"


def files(storage: Storage, spec: PretrainJobSpec, upstream: Mapping[Stage, str]) -> dict[str, bytes]:
    """By name; `upstream` holds the identity of Tokenizer."""
    found = {}
    if objectives.reads_text(spec):
        found = read_files(storage, layout.tokenizer(upstream[Stage.TOKENIZER]))
        found = with_length(found, spec.training.sequence_length)
    if objectives.needs(spec.objective).inputs == "captionedImages":
        found = ending_captions(found)
        found[PROCESSOR] = (json.dumps({"processor_class": "CLIPProcessor"}, indent=2) + "\n").encode()
    if not objectives.learns_text(spec):
        content = json.dumps(image_processor(objectives.image_size(spec)), indent=2) + "\n"
        found[IMAGE_PROCESSOR] = content.encode()
    return found


def image_processor(size: int) -> dict[str, Any]:
    """That of `AutoImageProcessor` which does what evaluation does: the shorter side scaled bilinearly, the middle cut out, less
    the mean and divided by the deviation (pretrain_trainer.objectives.pixels)."""
    from pretrain_trainer.objectives.pixels import MEAN, STD

    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }
