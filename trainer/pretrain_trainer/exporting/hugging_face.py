"""A trained model as a Hugging Face folder, and the proof that the folder is that model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoTokenizer, GenerationConfig

from pretrain_api.errors import PretrainError
from pretrain_trainer.stages.train import parameters_sha256

CONFIG = "config.json"
"""Without this file transformers does not load a folder."""


class ExportMismatch(PretrainError):
    """The exported folder is not the model that was trained."""

    kind = "ExportMismatch"


@dataclass(frozen=True)
class Comparison:
    """How the reloaded model differs from the trained one."""

    max_logit_difference: float
    sequences: int
    same_next_token_ratio: float
    """Share of positions with the same most probable token."""
    parameters_sha256: str
    """Of the reloaded weights, where they are fp32 like the trained ones; else empty."""


def write(
    model: Any, tokenizer_files: Mapping[str, bytes], folder: Path, dtype: Literal["float32", "bfloat16"]
) -> None:
    """Weights as safetensors, configurations and tokenizer. The same weights make the same files.

    The trained model, on the CPU and in fp32, stays as it is.
    """
    exported = copy.deepcopy(model).to(getattr(torch, dtype))
    if exported.can_generate():
        exported.config.use_cache = True
        exported.generation_config = GenerationConfig.from_model_config(exported.config)
    exported.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # the library makes them readable for their owner alone
    for name, content in tokenizer_files.items():
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
    digest = parameters_sha256(reloaded) if reloaded.dtype == torch.float32 else ""
    return Comparison(greatest, len(sequences), same / sequences.numel(), digest)


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
