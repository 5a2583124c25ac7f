"""The model: a transformers configuration from the job, checked, and the weights it starts from.

Imports torch and transformers only inside the functions, so that stages without a model start fast.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pretrain_api import objectives, presets
from pretrain_api.errors import UserError
from pretrain_trainer import early

if TYPE_CHECKING:
    from pretrain_api.types import PretrainJobSpec
    from pretrain_trainer.tokenizer import LoadedTokenizer

_OF_ANY_SIZE = ("resnet",)
"""Model types whose configuration says nothing of the images' size."""
_STRIDE = 16
"""In pixels, of a convolutional encoder, for comparison with patches."""


def configuration(spec: PretrainJobSpec, vocab_size: int | None) -> Any:
    """The transformers configuration of the job's model for a tokenizer with `vocab_size` entries; None: without one.

    Raises UserError for an unknown or misspelt model type or setting, a type that cannot learn the objective, values
    that the configuration refuses, images of another size than the objective's, positions or a prefix' window shorter than
    the sequence and a vocabulary smaller than the tokenizer's.
    """
    where = "spec.model.preset" if spec.model.preset else "spec.model.config"
    given = presets.config(spec.model.preset) if spec.model.preset else dict(spec.model.config or {})
    of_text = objectives.learns_text(spec)
    if not of_text and given.get("model_type") not in _OF_ANY_SIZE:
        _set(where, given, "vision_config", "image_size", objectives.image_size(spec))
    if vocab_size is not None:
        padded = -(-vocab_size // presets.VOCABULARY_MULTIPLE) * presets.VOCABULARY_MULTIPLE
        text = given if of_text else given.setdefault("text_config", {})
        text.setdefault("vocab_size", padded)
    config = _parse(where, given, _HEADS[objectives.needs(spec.objective).architecture])
    if vocab_size is not None:
        _check_text(where, spec, config.get_text_config(), vocab_size)
    return config


def _set(where: str, given: dict[str, Any], part: str, name: str, value: int) -> None:
    """A setting of the model, or of its part where it has that, that another field decides."""
    settings = given.get(part, given)
    if not isinstance(settings, dict) or settings.setdefault(name, value) != value:
        raise UserError(
            "model-for-other-images",
            f"{where}.{name}",
            f"the model takes images of {settings.get(name)} px, but the objective gives it {value} px.",
            f"Leave {name} out: it follows the objective's imageSize.",
        )


def _check_text(where: str, spec: PretrainJobSpec, config: Any, vocab_size: int) -> None:
    """Raise UserError unless the model holds the job's sequences and its tokenizer's entries."""
    length = spec.training.sequence_length
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and 0 < positions < length:  # some write -1 where there is no bound
        raise UserError(
            "sequence-longer-than-positions",
            "spec.training.sequenceLength",
            f"sequenceLength is {length}, but the model has {positions} positions.",
            f"Write sequenceLength: {positions} or less, or give the model more positions.",
        )
    window = getattr(config, "sliding_window", None)
    if spec.objective.prefix_lm and window and window < length:
        raise UserError(
            "prefix-mask-unsupported",
            "spec.training.sequenceLength",
            f"sequenceLength is {length}, but attention slides over {window} tokens: a prefix cannot be seen whole.",
            f"Write sequenceLength: {window} or less, or give the model no sliding window.",
        )
    if config.vocab_size < vocab_size:
        padded = -(-vocab_size // presets.VOCABULARY_MULTIPLE) * presets.VOCABULARY_MULTIPLE
        raise UserError(
            "vocabulary-smaller-than-tokenizer",
            f"{where}.vocab_size",
            f"vocab_size is {config.vocab_size}, but the tokenizer has {vocab_size} entries.",
            f"Write vocab_size: {padded}, or leave it out.",
        )


def build(
    spec: PretrainJobSpec, vocab_size: int | None, *, end_of_text: int | None = None, padding: int | None = None
) -> Any:
    """The model with its initial fp32 weights on the CPU, the same on every rank and at any world size.

    `end_of_text` and `padding` are token ids; they go into the configuration, where generation and export look for
    them; a decoder beside an encoder begins with the padding, as T5's does. Raises UserError like `configuration`.
    """
    import torch

    config = configuration(spec, vocab_size)
    text = config.get_text_config() if vocab_size is not None else None
    if text is not None:
        text.bos_token_id = text.eos_token_id = end_of_text
        # Set only after the build: an embedding that knows its padding never learns that row, and many tokenizers pad with
        # the end of text.
        text.pad_token_id = None
    if config.is_encoder_decoder:
        config.decoder_start_token_id = padding
        if getattr(config, "forced_eos_token_id", None) is not None:  # BART's, in its own vocabulary
            config.forced_eos_token_id = end_of_text
    where = "spec.model.preset" if spec.model.preset else "spec.model.config"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.training.seed)
        try:
            model = auto_class(spec).from_config(config, dtype=torch.float32)
        except (ValueError, TypeError, RuntimeError, KeyError, AttributeError, ArithmeticError) as error:
            raise UserError(
                "model-config-invalid", where, f"transformers cannot build this model: {error}", "Correct the value."
            ) from error
    if text is not None:
        model.config.get_text_config().pad_token_id = padding
        model.config.use_cache = False
    return model


def of_job(spec: PretrainJobSpec, tokenizer: LoadedTokenizer | None) -> Any:
    """`build` for a tokenizer, None where the objective reads no text."""
    if tokenizer is None:
        return build(spec, None)
    return build(spec, tokenizer.vocab_size, end_of_text=tokenizer.end_of_text, padding=tokenizer.padding)


def import_lean(spec: PretrainJobSpec) -> None:
    """Before transformers is imported: leave out what its models import for losses of object detection, a fifth of what a
    program of this job would import."""
    if objectives.learns_text(spec):
        early.do_without("torchvision", "scipy")


def positions(spec: PretrainJobSpec, config: Any) -> int:
    """About how many positions of the model a sample takes: its tokens, or the patches of an image."""
    if objectives.learns_text(spec):
        return spec.training.sequence_length
    size = objectives.image_size(spec)
    patch = getattr(getattr(config, "vision_config", config), "patch_size", _STRIDE)
    return max(1, (size // int(patch)) ** 2)


def auto_class(spec: PretrainJobSpec) -> Any:
    """The class of transformers that the model is built and loaded with."""
    import transformers

    return getattr(transformers, _HEADS[objectives.needs(spec.objective).architecture].auto_class)


@dataclass(frozen=True)
class _Head:
    """What a model ends in, and how transformers calls those that do."""

    auto_class: str
    mapping: str
    what: str
    instead: str
    types: frozenset[str] = frozenset()
    """Those that are known to do, where not all of the mapping are."""


_HEADS: Mapping[objectives.Architecture, _Head] = {
    "causal": _Head(
        "AutoModelForCausalLM",
        "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
        "causal language model",
        "Write a decoder's type, for example llama, qwen3, gpt2 or mistral.",
    ),
    "masked": _Head(
        "AutoModelForMaskedLM",
        "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
        "masked language model",
        "Write an encoder's type, for example bert or modernbert.",
    ),
    "seq2seq": _Head(
        "AutoModelForSeq2SeqLM",
        "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
        "encoder-decoder with a language model's head",
        "Write an encoder-decoder's type, for example t5.",
    ),
    "twoTowers": _Head(
        "AutoModelForZeroShotImageClassification",
        "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES",
        "encoder of images beside one of captions",
        "Write model_type: clip.",
        frozenset(("clip",)),
    ),
    "imageAutoencoder": _Head(
        "AutoModelForPreTraining",
        "MODEL_FOR_PRETRAINING_MAPPING_NAMES",
        "masked autoencoder of images",
        "Write model_type: vit_mae.",
        frozenset(("vit_mae",)),
    ),
    "imageEncoder": _Head(
        "AutoModel",
        "MODEL_MAPPING_NAMES",
        "encoder of images",
        "Write model_type: vit, or resnet.",
        frozenset(("vit", "resnet", "dinov2", "convnext")),
    ),
}


def _parse(where: str, given: dict[str, Any], head: _Head) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    settings = dict(given)
    model_type = settings.pop("model_type", None)
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        close = difflib.get_close_matches(str(model_type), list(CONFIG_MAPPING), n=1)
        raise UserError(
            "model-type-unknown",
            f"{where}.model_type",
            "model_type is missing." if model_type is None else f"{model_type!r} is no model type of transformers.",
            f"Write {close[0]}." if close else head.instead,
        )
    if model_type not in (head.types or getattr(modeling_auto, head.mapping)):
        raise UserError(
            "model-not-for-objective",
            f"{where}.model_type",
            f"{model_type!r} has no {head.what} in transformers.",
            head.instead,
        )
    known = _settings_of(CONFIG_MAPPING[model_type])
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            raise UserError(
                "model-config-unknown-setting",
                f"{where}.{name}",
                f"{model_type} has no setting {name!r}.",
                f"Write {close[0]}." if close else "Remove it.",
            )
    try:
        config = AutoConfig.for_model(model_type, **settings)
    except Exception as error:  # each configuration class raises errors of its own kind
        raise UserError(
            "model-config-invalid", where, f"{model_type} refuses these settings: {error}", "Correct the value."
        ) from error
    if head.auto_class == "AutoModelForMaskedLM" and (
        config.is_encoder_decoder or getattr(config, "is_decoder", False)
    ):
        raise UserError("model-not-for-objective", where, f"{model_type!r} has a decoder here.", head.instead)
    return config


def _settings_of(config_class: Any) -> set[str]:
    """Names that a configuration class understands: its fields and the aliases it maps onto them."""
    return set(config_class().to_dict()) | set(config_class.attribute_map)
