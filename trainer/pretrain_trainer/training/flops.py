"""Floating-point operations of a step, and the peak of the devices that are known, for the model's utilisation (MFU)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_PEAK_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "B200": 2250e12}
"""Dense bf16 operations per second, from the vendor's data sheets."""


def per_token(model: nn.Module, sequence_length: int) -> float:
    """Operations per trained token: 6 per parameter of a matrix product, and attention (PaLM, arXiv:2204.02311, app. B).

    The token embedding is a lookup and does not count, the output matrix does, tied or not.
    """
    config: Any = model.config
    parameters = sum(p.numel() for p in model.parameters())
    if not getattr(config, "tie_word_embeddings", False):
        parameters -= sum(p.numel() for p in model.get_input_embeddings().parameters())  # type: ignore[operator]
    width = int(getattr(config, "num_hidden_layers", 0)) * int(getattr(config, "hidden_size", 0))
    return 6.0 * parameters + 12.0 * width * sequence_length


def peak_per_second(device: torch.device) -> float | None:
    """Peak of one device; None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in _PEAK_BF16.items() if known in name), None)
