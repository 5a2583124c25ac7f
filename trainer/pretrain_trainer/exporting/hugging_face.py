"""A trained model as a Hugging Face folder, and the proof that the folder is that model."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, GenerationConfig

from pretrain_api.errors import PretrainError
from pretrain_trainer.objectives.pixels import middle, normalised
from pretrain_trainer.stages.train import parameters_sha256

if TYPE_CHECKING:
    from PIL.Image import Image

    from pretrain_trainer.objectives.image_objective import ImageObjective

_PIXEL_TOLERANCE = 0.02
"""Mean difference, in deviations: libraries round differently where they scale an image."""
CONFIG = "config.json"
"""Without this file transformers does not load a folder."""


class ExportMismatch(PretrainError):
    """The exported folder is not the model that was trained."""

    kind = "ExportMismatch"


@dataclass(frozen=True)
class Comparison:
    """How the reloaded model differs from the trained one."""

    max_difference: float
    samples: int
    parameters_sha256: str
    """Of the reloaded weights, where they are fp32 like the trained ones; else empty."""
    same_next_token_ratio: float | None = None
    """Share of positions with the same most probable token; None where the model is one of images."""

    @property
    def of(self) -> str:
        """What differs."""
        return "features" if self.same_next_token_ratio is None else "logits"

    @property
    def sample(self) -> str:
        """What was compared."""
        return "image" if self.same_next_token_ratio is None else "sequence"

    def figures(self) -> dict[str, float]:
        """Those of the stage's record."""
        if self.same_next_token_ratio is None:
            return {"maxFeatureDifference": self.max_difference, "comparedImages": self.samples}
        return {
            "maxLogitDifference": self.max_difference,
            "sameNextTokenRatio": self.same_next_token_ratio,
            "comparedSequences": self.samples,
        }


def write(model: Any, files: Mapping[str, bytes], folder: Path, dtype: Literal["float32", "bfloat16"]) -> None:
    """Weights as safetensors, configuration, and the files beside them. The same weights make the same files.

    The trained model, on the CPU and in fp32, stays as it is.
    """
    exported = copy.deepcopy(model).to(getattr(torch, dtype))
    if exported.can_generate():
        exported.config.use_cache = True
        exported.generation_config = GenerationConfig.from_model_config(exported.config)
    exported.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # the library makes them readable for their owner alone
    for name, content in files.items():
        (folder / name).write_bytes(content)


def compare(model: Any, auto_class: Any, folder: Path, sequences: Tensor) -> Comparison:
    """Load the folder as a user would, with a class of transformers, and run both models on the CPU over `sequences`,
    int64 [n, length], n > 0."""
    reloaded = auto_class.from_pretrained(folder)
    reloaded.eval()
    names = ("input_ids", "decoder_input_ids") if model.config.is_encoder_decoder else ("input_ids",)
    greatest, same = 0.0, 0
    with torch.no_grad():
        for sequence in torch.split(sequences, 1):
            expected, found = (m(**dict.fromkeys(names, sequence)).logits.float() for m in (model, reloaded))
            greatest = max(greatest, float((expected - found).abs().max()))
            same += int((expected.argmax(-1) == found.argmax(-1)).sum())
    return Comparison(greatest, len(sequences), _digest(reloaded), same / sequences.numel())


def compare_images(
    model: Any, auto_class: Any, folder: Path, objective: ImageObjective, images: Sequence[Image], size: int
) -> Comparison:
    """Load the folder as a user would, image processor included, and run both models on the CPU over some images, of `size` px. Raise
    ExportMismatch where the processor gives the model other pixels than evaluation did."""
    reloaded: Any = auto_class.from_pretrained(folder).eval()
    processor: Any = AutoImageProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    pixels = torch.from_numpy(np.stack([middle(image, size) for image in images])).permute(0, 3, 1, 2)
    for image, expected in zip(images, normalised(pixels), strict=True):
        found = processor(images=image, return_tensors="pt")["pixel_values"][0]
        if (apart := float((found - expected).abs().mean())) > _PIXEL_TOLERANCE:
            raise ExportMismatch(
                f"The exported image processor gives the model other pixels than it was evaluated on: of an image of "
                f"{image.width} x {image.height} px by {apart:.3f} deviations."
            )
    with torch.no_grad():
        one, other = (objective.embed(each, pixels).float() for each in (model, reloaded))
    return Comparison(float((one - other).abs().max()), len(images), _digest(reloaded))


def _digest(reloaded: Any) -> str:
    return parameters_sha256(reloaded) if reloaded.dtype == torch.float32 else ""


def check_captions(objective: Any, folder: Path, captions: Sequence[str]) -> None:
    """Raise ExportMismatch unless the reloaded processor makes of captions the tokens that training did. Those that spell out
    a special token are left out."""
    processor: Any = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    special = processor.tokenizer.all_special_tokens
    plain = [caption for caption in captions if not any(token in caption for token in special)]
    if not plain:
        return
    found = processor(text=plain, padding=True, truncation=True, return_tensors="pt")["input_ids"]
    if not torch.equal(found, objective.tokens(plain)):
        raise ExportMismatch(f"The exported processor gives other tokens for captions such as {plain[0][:80]!r}.")


def check_tokenizer(trained: Tokenizer, folder: Path, text: str) -> None:
    """Raise ExportMismatch unless the reloaded tokenizer gives the same tokens for a text, and the same text for them.

    Special tokens that the text spells out are left out: documents have them as ordinary text, prompts do not.
    """
    reloaded = AutoTokenizer.from_pretrained(folder)
    for special in reloaded.all_special_tokens:
        text = text.replace(special, "")
    expected = trained.encode(text, add_special_tokens=False).ids
    # Not verbose: the text is longer than the model's sequences, and the model never sees it.
    found = reloaded.encode(text, add_special_tokens=False, verbose=False)
    if found != expected:
        raise ExportMismatch(f"The exported tokenizer gives other tokens for {text[:80]!r}.")
    decoded = reloaded.decode(found, clean_up_tokenization_spaces=False)
    if decoded != trained.decode(expected, skip_special_tokens=False):
        raise ExportMismatch(f"The exported tokenizer decodes {text[:80]!r} as {decoded[:80]!r}.")
