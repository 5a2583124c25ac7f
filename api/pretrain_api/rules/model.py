"""Rules of the model, its objective, and how they agree with the tokenizer and the sequence."""

from collections.abc import Iterator
from typing import Any

from pretrain_api import objectives, presets, spans
from pretrain_api.problems import shown
from pretrain_api.rules.base import Finding, Rule, exactly_one
from pretrain_api.types import PretrainJobSpec

_MODEL = ("spec", "model")
_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "max_position_embeddings", "n_embd", "n_layer", "n_head", "n_positions",
    "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads",
)  # fmt: skip
"""Settings that are whole numbers above 0, in a few model types a list with one for each layer. transformers looks at them only when it
builds the model, after the stages before Train have done their work."""


def _configuration(spec: PretrainJobSpec) -> tuple[str, dict[str, Any]]:
    """The field that names the model, and its configuration; empty where there is none to check."""
    if spec.model.config is not None:
        return "config", spec.model.config
    preset = presets.PRESETS.get(spec.model.preset)
    return "preset", dict(preset.config) if preset else {}


def _integer(config: dict[str, Any], *names: str) -> tuple[str, int] | None:
    """The first of the names that stands in the configuration with a whole number."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return name, value
    return None


def _preset(spec: PretrainJobSpec) -> Iterator[Finding]:
    if spec.model.preset and spec.model.preset not in presets.PRESETS:
        yield ((*_MODEL, "preset"), *presets.unknown(spec.model.preset))


def _architecture(spec: PretrainJobSpec) -> Iterator[Finding]:
    preset, wanted = presets.PRESETS.get(spec.model.preset), objectives.needs(spec.objective).architecture
    if preset and preset.architecture != wanted:
        fitting = [name for name, each in presets.PRESETS.items() if each.architecture == wanted]
        what = f"{spec.model.preset} cannot learn objective {objectives.name(spec.objective)}."
        yield (*_MODEL, "preset"), what, f"Write one of {', '.join(fitting)}, or another objective."


def _model_type(spec: PretrainJobSpec) -> Iterator[Finding]:
    if spec.model.config is not None and not isinstance(spec.model.config.get("model_type"), str):
        instead = "Write model_type: llama, or another type of transformers."
        yield (*_MODEL, "config"), "model_type is missing.", instead


def _sizes(spec: PretrainJobSpec) -> Iterator[Finding]:
    for name, value in (spec.model.config or {}).items():
        if name not in _SIZES or value is None or isinstance(value, list):
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            quoted = isinstance(value, str) and value.isascii() and value.isdigit()
            instead = f"Remove the quotes: {value}." if quoted else "Write a whole number."
            yield (*_MODEL, "config", name), f"{shown(value)} is not a whole number.", instead
        elif value < 1:
            yield (*_MODEL, "config", name), f"{name} is {value}.", "Write 1 or more."


def _positions(spec: PretrainJobSpec) -> Iterator[Finding]:
    field, config = _configuration(spec)
    length = spec.training.sequence_length
    if not objectives.reads_text(spec):
        return
    if isinstance(captions := config.get("text_config"), dict):
        config = captions
    if (positions := _integer(config, "max_position_embeddings", "n_positions")) and length > positions[1]:
        model = f"preset {spec.model.preset}" if field == "preset" else f"spec.model.config.{positions[0]}"
        what = f"sequenceLength is {length}, but the model has {positions[1]} positions ({model})."
        instead = f"Write sequenceLength: {positions[1]} or less, or take a model with more positions."
        yield ("spec", "training", "sequenceLength"), what, instead


def _vocabulary(spec: PretrainJobSpec) -> Iterator[Finding]:
    config, train = spec.model.config or {}, spec.tokenizer.train if spec.tokenizer else None
    if train and (size := _integer(config, "vocab_size")) and size[1] < train.vocab_size:
        what = f"vocab_size is {size[1]}, but spec.tokenizer.train.vocabSize is {train.vocab_size}."
        instead = f"Write vocab_size: {train.vocab_size} or more, or leave it out: it then follows the tokenizer."
        yield (*_MODEL, "config", "vocab_size"), what, instead


def _heads(spec: PretrainJobSpec) -> Iterator[Finding]:
    config = spec.model.config or {}
    width = _integer(config, "hidden_size", "n_embd")
    heads = _integer(config, "num_attention_heads", "n_head")
    if any(pair and pair[1] < 1 for pair in (width, heads, _integer(config, "num_key_value_heads"))):
        return  # told by the rule of sizes
    if width and heads and "head_dim" not in config and width[1] % heads[1]:
        fitting = max(n for n in range(1, heads[1] + 1) if width[1] % n == 0)
        what = f"{width[0]} is {width[1]}, which {heads[1]} heads do not divide."
        yield (
            (*_MODEL, "config", heads[0]),
            what,
            f"Write {heads[0]}: {fitting}, or {width[0]}: {_next(width[1], heads[1])}.",
        )
    shared = _integer(config, "num_key_value_heads")
    if heads and shared and heads[1] % shared[1]:
        what = f"{shared[0]} is {shared[1]}, which does not divide {heads[0]} ({heads[1]})."
        fitting = max(n for n in range(1, shared[1] + 1) if heads[1] % n == 0)
        yield (*_MODEL, "config", shared[0]), what, f"Write {shared[0]}: {fitting}."


def _spans(spec: PretrainJobSpec) -> Iterator[Finding]:
    length, settings = spec.training.sequence_length, spec.objective.span_corruption
    if settings is None or length < 2:
        return
    path, density, mean = ("spec", "objective", "spanCorruption"), settings.noise_density, settings.mean_span_length
    cut = spans.cut(length, density, mean)
    if density == 0:
        yield (*path, "noiseDensity"), "noiseDensity is 0, so nothing would be predicted.", "Write 0.15, as T5 has it."
    elif mean > cut.noise:
        what = f"meanSpanLength is {mean:g}, but only {cut.noise} of the {length} tokens of a sequence are corrupted."
        instead = f"Write meanSpanLength: {cut.noise} or less, or raise noiseDensity or training.sequenceLength."
        yield (*path, "meanSpanLength"), what, instead
    elif round(cut.noise / mean) > length - cut.noise:
        most = max(n for n in range(1, 100) if _leaves_gaps(length, n / 100, mean))
        kept = length - cut.noise
        what = f"noiseDensity is {density:g}, which leaves {kept} of {length} tokens, too few to part the spans."
        yield (*path, "noiseDensity"), what, f"Write noiseDensity: {most / 100:g} or less, or raise meanSpanLength."
    elif spec.tokenizer and spec.tokenizer.train and cut.spans > (there := len(objectives.SENTINELS)):
        what = f"a sequence of {length} tokens has {cut.spans} spans, but the tokenizer {there} sentinels."
        least = -(-10 * cut.noise // there) / 10
        yield (*path, "meanSpanLength"), what, f"Write meanSpanLength: {least:g} or more, or a shorter sequenceLength."


def _leaves_gaps(length: int, density: float, mean: float) -> bool:
    noise = spans.cut(length, density, mean).noise
    return round(noise / mean) <= length - noise


def _next(number: int, divisor: int) -> int:
    """The next multiple of the divisor."""
    return -(-number // divisor) * divisor


def _prompts(spec: PretrainJobSpec) -> Iterator[Finding]:
    gap = (
        objectives.MASK
        if spec.objective.masked_lm
        else objectives.SENTINELS[0]
        if spec.objective.span_corruption
        else ""
    )
    for index, prompt in enumerate(spec.evaluation.prompts):
        if gap not in prompt:
            what = f"{shown(prompt)} has no gap to fill."
            yield ("spec", "evaluation", "prompts", index), what, f"Write {gap} where the model is to fill it in."


RULES = (
    exactly_one("model-kind", "spec.model", "preset: llama-125m", "preset", "config", texts=("preset",)),
    Rule("preset-unknown", "spec.model", _preset),
    Rule("preset-for-another-objective", "spec", _architecture),
    Rule("model-type-unknown", "spec.model", _model_type),
    Rule("model-config-invalid", "spec.model", _sizes),
    Rule("sequence-longer-than-positions", "spec", _positions),
    Rule("vocabulary-smaller-than-tokenizer", "spec", _vocabulary),
    Rule("heads-not-dividing", "spec.model", _heads),
    Rule("prompt-without-gap", "spec", _prompts),
    Rule("spans-not-fitting", "spec", _spans),
    exactly_one(
        "objective-kind", "spec.objective", "causalLM: {}",
        *objectives.KINDS,
    ),
)  # fmt: skip
