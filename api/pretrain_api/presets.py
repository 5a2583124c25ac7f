"""Model presets as plain transformers configurations. No transformers here; `vocab_size` follows the tokenizer, and the side
of images the objective.

Shapes follow GPT-2 (Radford et al. 2019), BERT (arXiv:1810.04805), T5 1.1 (arXiv:2002.05202), ViT (arXiv:2010.11929), the
masked autoencoder (arXiv:2111.06377), CLIP (arXiv:2103.00020), ResNet (arXiv:1512.03385) and the Llama 3 family
(arXiv:2407.21783); below 1B the Llama presets have GPT-2's widths with Llama's blocks. Heads have 64 or 128 dimensions, which attention kernels are made for.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pretrain_api.errors import UserError
from pretrain_api.objectives import Architecture
from pretrain_api.problems import closest

VOCABULARY_MULTIPLE = 64
"""The vocabulary is rounded up to this, so that the output matrix fills whole tiles of the hardware."""


@dataclass(frozen=True)
class Preset:
    """A configuration and what to say about it."""

    summary: str
    config: Mapping[str, Any]
    architecture: Architecture = "causal"


def _llama(
    hidden: int, layers: int, heads: int, key_value_heads: int, intermediate: int, theta: float, *, tied: bool = True
) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "head_dim": hidden // heads,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": tied,
    }


def _gpt2(width: int, layers: int, heads: int) -> dict[str, Any]:
    # No dropout: a pre-training run sees its tokens once, or nearly so.
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return {"model_type": "gpt2", "n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": 1024, **dropout}


def _bert(width: int, layers: int, heads: int) -> dict[str, Any]:
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return {
        "model_type": "bert",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 512,
        "type_vocab_size": 1,
        **dropout,
    }


def _t5(width: int, layers: int, heads: int, intermediate: int) -> dict[str, Any]:
    # T5 1.1's blocks. Its second matrix for the output is left out: transformers ties the two, and scales the output for that.
    return {
        "model_type": "t5",
        "d_model": width,
        "d_ff": intermediate,
        "d_kv": 64,
        "num_layers": layers,
        "num_decoder_layers": layers,
        "num_heads": heads,
        "feed_forward_proj": "gated-gelu",
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "dropout_rate": 0.0,
    }


def _vit(width: int, layers: int, heads: int, patch: int, **others: Any) -> dict[str, Any]:
    return {
        "model_type": "vit",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "patch_size": patch,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        **others,
    }


def _mae(width: int, layers: int, heads: int, patch: int, decoder: tuple[int, int, int]) -> dict[str, Any]:
    wide, deep, split = decoder
    sizes = {
        "decoder_hidden_size": wide,
        "decoder_num_hidden_layers": deep,
        "decoder_num_attention_heads": split,
        "decoder_intermediate_size": 4 * wide,
    }
    return _vit(width, layers, heads, patch, **sizes) | {"model_type": "vit_mae"}


def _clip(
    width: int, layers: int, heads: int, patch: int, text: tuple[int, int, int], projection: int
) -> dict[str, Any]:
    def tower(width: int, layers: int, heads: int) -> dict[str, Any]:
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "projection_dim": projection,
        }

    captions = {**tower(*text), "max_position_embeddings": 77}
    return {
        "model_type": "clip",
        "projection_dim": projection,
        "vision_config": {**tower(width, layers, heads), "patch_size": patch},
        "text_config": captions,
    }


def _resnet(depths: tuple[int, ...], widths: tuple[int, ...], layer: str) -> dict[str, Any]:
    return {
        "model_type": "resnet",
        "embedding_size": 64,
        "depths": list(depths),
        "hidden_sizes": list(widths),
        "layer_type": layer,
    }


PRESETS: Mapping[str, Preset] = {
    "llama-nano": Preset("0.8 M parameters, for minutes on two cores", _llama(128, 4, 2, 2, 352, 1e4)),
    "llama-tiny": Preset("4.7 M parameters, for laptops and tests", _llama(256, 6, 4, 4, 688, 1e4)),
    "llama-125m": Preset("85 M parameters, 12 layers of width 768", _llama(768, 12, 12, 12, 2048, 1e4)),
    "llama-350m": Preset("308 M parameters, 24 layers of width 1024", _llama(1024, 24, 16, 16, 2816, 1e4)),
    "llama-1b": Preset("973 M parameters, the shape of Llama 3.2 1B", _llama(2048, 16, 32, 8, 8192, 5e5)),
    "llama-3b": Preset("2.8 B parameters, the shape of Llama 3.2 3B", _llama(3072, 28, 24, 8, 8192, 5e5)),
    "llama-8b": Preset("7.0 B parameters, the shape of Llama 3 8B", _llama(4096, 32, 32, 8, 14336, 5e5, tied=False)),
    "gpt2-small": Preset("86 M parameters, 12 layers of width 768, 1024 positions", _gpt2(768, 12, 12)),
    "gpt2-medium": Preset("303 M parameters, 24 layers of width 1024, 1024 positions", _gpt2(1024, 24, 16)),
    "bert-nano": Preset("0.88 M parameters, an encoder for minutes on two cores", _bert(128, 4, 2), "masked"),
    "bert-tiny": Preset("5 M parameters, an encoder for laptops and tests", _bert(256, 6, 4), "masked"),
    "bert-base": Preset(
        "86 M parameters, an encoder of 12 layers of width 768, 512 positions", _bert(768, 12, 12), "masked"
    ),
    "bert-large": Preset(
        "304 M parameters, an encoder of 24 layers of width 1024, 512 positions", _bert(1024, 24, 16), "masked"
    ),
    "t5-nano": Preset(
        "0.98 M parameters, an encoder and a decoder for minutes on two cores", _t5(128, 2, 2, 384), "seq2seq"
    ),
    "t5-small": Preset(
        "44 M parameters, an encoder and a decoder of 8 layers of width 512 each", _t5(512, 8, 6, 1024), "seq2seq"
    ),
    "t5-base": Preset(
        "198 M parameters, an encoder and a decoder of 12 layers of width 768 each", _t5(768, 12, 12, 2048), "seq2seq"
    ),
    "vit-mae-nano": Preset(
        "1.1 M parameters, a masked autoencoder of patches of 8 px, for minutes on two cores",
        _mae(128, 4, 2, 8, (64, 2, 1)),
        "imageAutoencoder",
    ),
    "vit-mae-base": Preset(
        "112 M parameters, a masked autoencoder of 12 layers of width 768, patches of 16 px",
        _mae(768, 12, 12, 16, (512, 8, 8)),
        "imageAutoencoder",
    ),
    "vit-mae-large": Preset(
        "330 M parameters, a masked autoencoder of 24 layers of width 1024, patches of 16 px",
        _mae(1024, 24, 16, 16, (512, 8, 8)),
        "imageAutoencoder",
    ),
    "vit-nano": Preset(
        "0.94 M parameters, an encoder of images in patches of 8 px, for minutes on two cores",
        _vit(128, 4, 2, 8),
        "imageEncoder",
    ),
    "vit-small": Preset(
        "22 M parameters, an encoder of images of 12 layers of width 384, patches of 16 px",
        _vit(384, 12, 6, 16),
        "imageEncoder",
    ),
    "vit-base": Preset(
        "86 M parameters, an encoder of images of 12 layers of width 768, patches of 16 px",
        _vit(768, 12, 12, 16),
        "imageEncoder",
    ),
    "resnet-nano": Preset(
        "0.31 M parameters, a convolutional encoder of images, for minutes on two cores",
        _resnet((1, 1, 1), (32, 64, 128), "basic") | {"embedding_size": 32},
        "imageEncoder",
    ),
    "resnet-18": Preset(
        "11 M parameters, a convolutional encoder of images",
        _resnet((2, 2, 2, 2), (64, 128, 256, 512), "basic"),
        "imageEncoder",
    ),
    "resnet-50": Preset(
        "23.5 M parameters, a convolutional encoder of images",
        _resnet((3, 4, 6, 3), (256, 512, 1024, 2048), "bottleneck"),
        "imageEncoder",
    ),
    "clip-nano": Preset(
        "1.75 M parameters, an encoder of images in patches of 8 px and one of captions, for minutes on two cores",
        _clip(128, 4, 2, 8, (128, 4, 2), 128),
        "twoTowers",
    ),
    "clip-vit-b-32": Preset(
        "126 M parameters, an encoder of images in patches of 32 px and one of captions",
        _clip(768, 12, 12, 32, (512, 12, 8), 512),
        "twoTowers",
    ),
    "clip-vit-b-16": Preset(
        "125 M parameters, an encoder of images in patches of 16 px and one of captions",
        _clip(768, 12, 12, 16, (512, 12, 8), 512),
        "twoTowers",
    ),
}
"""Name -> preset. Parameters are counted without the token embeddings, whose size the tokenizer decides, and at 224 px."""


def config(name: str) -> dict[str, Any]:
    """The transformers configuration of a preset, without `vocab_size`. Raises UserError for an unknown name."""
    if name not in PRESETS:
        raise UserError("preset-unknown", "spec.model.preset", *unknown(name))
    return copy.deepcopy(dict(PRESETS[name].config))


def unknown(name: str) -> tuple[str, str]:
    """What is wrong with a preset's name, and what to write instead."""
    meant = closest(name, PRESETS)
    return f'"{name}" is no preset.', f"Write {meant or 'one of ' + ', '.join(PRESETS)}."
