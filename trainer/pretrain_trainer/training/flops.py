"""Floating-point operations of a step, and the peak of the devices that are known, for the model's utilisation (MFU)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pretrain_api import spans

if TYPE_CHECKING:
    from pretrain_api.spans import Cut
    from pretrain_api.types import PretrainJobSpec

_PEAK_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "B200": 2250e12}
"""Dense bf16 operations per second, from the vendor's data sheets."""


_OF_ENCODED = ("EncDecAttention.k.", "EncDecAttention.v.", "encoder_attn.k_proj.", "encoder_attn.v_proj.")
"""Matrices of a decoder, in the names of T5 and of BART, that work on each token of the encoder."""


def of_job(model: nn.Module, spec: PretrainJobSpec) -> float:
    """Operations of a training sequence of a job."""
    length = spec.training.sequence_length
    if corruption := spec.objective.span_corruption:
        cut = spans.cut(length, corruption.noise_density, corruption.mean_span_length)
        return length * per_token_of_encoder_decoder(model, cut)
    return length * per_token(model, length)


def per_token(model: nn.Module, sequence_length: int) -> float:
    """Operations per trained token: 6 per parameter of a matrix product, and attention (PaLM, arXiv:2204.02311, app. B).

    Embeddings, of tokens and of positions, are lookups and do not count; the output matrix does, tied or not. Attention counts whole, as in
    PaLM, though half of it is masked where it is causal; a kernel that leaves that half out makes 12 of `12 width length`
    into 6, and the utilisation of its device is lower by that share.
    """
    config: Any = model.config
    lookups = _looked_up(model)
    parameters = sum(p.numel() for p in model.parameters() if id(p) not in lookups)
    width = int(getattr(config, "num_hidden_layers", 0)) * int(getattr(config, "hidden_size", 0))
    return 6.0 * parameters + 12.0 * width * sequence_length


def per_token_of_encoder_decoder(model: nn.Module, cut: Cut) -> float:
    """Like `per_token`, where the encoder and the decoder see different numbers of tokens of a sequence."""
    config: Any = model.config
    encoder = {id(p) for p in model.get_encoder().parameters()}  # type: ignore[operator]
    lookups, head = _looked_up(model), _head(model)
    products = 0
    for name, parameter in model.named_parameters():
        is_encoded = id(parameter) in encoder - head or any(part in name for part in _OF_ENCODED)
        if id(parameter) not in lookups:
            products += parameter.numel() * (cut.inputs if is_encoded else cut.targets)
    # T5's heads together need not be as wide as the model.
    width = int(config.num_heads * config.d_kv if hasattr(config, "d_kv") else config.hidden_size)
    encoders, decoders = _layers(config)
    pairs = encoders * cut.inputs**2 + decoders * (cut.targets**2 + cut.targets * cut.inputs)
    return (6.0 * products + 12.0 * width * pairs) / cut.length


def _looked_up(model: nn.Module) -> set[int]:
    """Parameters by identity that only lookups use: an embedding that is tied to the output is a matrix there."""
    return {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)} - _head(model)


def _head(model: nn.Module) -> set[int]:
    return {id(p) for p in model.get_output_embeddings().parameters()}  # type: ignore[operator]


def _layers(config: Any) -> tuple[int, int]:
    """Of the encoder and of the decoder, in the names of T5 and of BART; 0 where they are called otherwise."""
    encoders = int(getattr(config, "encoder_layers", 0) or getattr(config, "num_layers", 0))
    decoders = getattr(config, "decoder_layers", 0) or getattr(config, "num_decoder_layers", 0)
    return encoders, int(decoders or encoders)


def peak_per_second(device: torch.device) -> float | None:
    """Peak of one device; None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in _PEAK_BF16.items() if known in name), None)
