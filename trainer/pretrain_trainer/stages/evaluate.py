"""Evaluate: the trained model on the held-out text of every source, beside baselines, and texts that it writes; on images in
`pretrain_trainer.evaluation.images`."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pretrain_api import layout
from pretrain_api import objectives as names
from pretrain_api.shards import Manifest
from pretrain_api.stages import Flow, Stage
from pretrain_trainer import objectives, tokenizer
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.data.decoded import training_texts
from pretrain_trainer.data.documents import source_texts
from pretrain_trainer.data.mixture import read_manifests
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.data.sample import sample_texts
from pretrain_trainer.data.split import validation_bound
from pretrain_trainer.evaluation import (
    baselines,
    filling,
    generation,
    losses,
    prefix_generation,
    span_filling,
    texts,
    trained,
    unigrams,
)
from pretrain_trainer.evaluation.trained import TrainedModel
from pretrain_trainer.objectives import Objective, Parts
from pretrain_trainer.objectives.prefix_lm import EmptyPrefixLanguageModel
from pretrain_trainer.reporting import tasks
from pretrain_trainer.training import precision

_OPENINGS = 4
"""Validation documents whose beginnings are prompts where the job gives none."""

_COUNTED_SEQUENCES = 4096
"""Of training, for the frequencies of tokens."""
_CHUNK_TOKENS = 1 << 20
"""Tokens of sequences that are read at once for them."""

HeldOut = list[tuple[str, Manifest]]
"""Folder and manifest of each source that has a validation split."""


@dataclass(frozen=True)
class _Measurement:
    """Figures of one source that are measured at a stretch: the model's, or the baselines'."""

    what: Literal["model", "baselines"]
    source: int
    """Its place among the sources with held-out text."""


def run(context: StageContext) -> StageResult:
    """Write `evaluation/<fingerprint>.json`; its content is also the record's details."""
    if not names.learns_text(context.spec):
        from pretrain_trainer.evaluation import images  # with Pillow, which text has no use for

        return images.run(context)
    held_out = _held_out(context)
    model = trained.load(context)
    measured = _measured(context, held_out, _measurements(held_out), lambda: model)
    by_source: dict[str, dict[str, Any]] = {}
    for number, (_, manifest) in enumerate(held_out):
        own = measured[_Measurement("model", number)]
        by_source[manifest.source] = {**own, "baselines": measured[_Measurement("baselines", number)]}
    details = {"version": 1, "bySource": by_source, "samples": _samples(context, held_out, model)}
    context.storage.write_json(f"{layout.EVALUATION}/{context.fingerprint}.json", details)
    context.storage.remove(_working_folder(context))
    sources = {manifest.source: _flow(manifest) for _, manifest in held_out}
    return StageResult(Flow.total(sources.values()), sources, _message(context, by_source), details)


def _measure_share(context: StageContext) -> None:
    """Measure what is in this share; images are measured at a stretch."""
    if not names.learns_text(context.spec):
        return
    held_out = _held_out(context)
    load = functools.cache(lambda: trained.load(context))
    _measured(context, held_out, context.share.of(_measurements(held_out)), load)


PHASES: Mapping[str, Callable[[StageContext], None]] = {"measure": _measure_share}


def _held_out(context: StageContext) -> HeldOut:
    manifests = read_manifests(context.storage, context.upstream[Stage.ENCODE], context.spec.data.sources)
    return [(folder, manifest) for folder, manifest in manifests if manifest.validation.samples]


def _measurements(held_out: HeldOut) -> list[_Measurement]:
    """Everything that is to be measured; the model first, as it takes longest."""
    numbers = range(len(held_out))
    return [_Measurement("model", n) for n in numbers] + [_Measurement("baselines", n) for n in numbers]


def _working_folder(context: StageContext) -> str:
    """Figures that were measured already, while the evaluation is not complete."""
    return f"{layout.EVALUATION}/{context.fingerprint}.work"


def _measured(
    context: StageContext, held_out: HeldOut, wanted: Sequence[_Measurement], load: Callable[[], TrainedModel]
) -> dict[_Measurement, dict[str, Any]]:
    """The figures, from storage where somebody has measured them already. `load` gives the model if it is needed."""
    samples = sum(held_out[one.source][1].validation.samples for one in wanted if one.what == "model")
    before, figures = 0, {}
    for one in wanted:
        folder, manifest = held_out[one.source]
        path = f"{_working_folder(context)}/{manifest.source}.{one.what}.json"
        if not context.storage.exists(path):
            if one.what == "model":
                found = _model_figures(context, held_out, one.source, load(), before, samples)
            else:
                found = _baselines(context, held_out, one.source, folder, manifest)
            context.storage.write_json(path, found)
        figures[one] = context.storage.read_json(path)
        before += manifest.validation.samples
    return figures


def _model_figures(
    context: StageContext, held_out: HeldOut, source: int, model: TrainedModel, before: int, samples: int
) -> dict[str, Any]:
    """The model's figures on one source. `before` of all `samples` are measured already."""
    spec = context.spec
    split = held_out[source][1].validation

    def measure(objective: Objective[Any], unit: str) -> losses.SourceLoss:
        def after_batch(done: int) -> None:
            context.check_stopping()
            context.progress.update(unit, before + done, samples, "samples")

        return losses.source_loss(
            model.module,
            objective,
            SampleReader(context.storage, held_out, split="validation"),
            source,
            split.samples,
            losses.batch_size(spec.training.sequence_length, model.model.config.vocab_size),
            model.device,
            precision.resolve(spec.training.precision, model.device),
            after_batch,
        )

    measured = measure(model.objective, "loss")
    further = {}
    if prefix := spec.objective.prefix_lm:
        # The loss behind random prefixes says nothing of the prefixes' own bytes, so it is no length of a code for the
        # text. With empty ones the model is a causal language model: each token is paid for, from what a decoder has
        # already, as by the compressors beside it. It was rarely trained so, which is part of the truth about it.
        whole = measure(EmptyPrefixLanguageModel(spec.training.seed, prefix.document_mask), "loss without prefix")
        further["lossWithoutPrefix"] = whole.mean
        further["bitsPerByte"] = whole.bits_per_byte(split.tokens, split.text_bytes)
    elif measured.hits is None:
        further["bitsPerByte"] = measured.bits_per_byte(split.tokens, split.text_bytes)
    else:
        further["accuracy"] = measured.accuracy
    return {
        "loss": measured.mean,
        "perplexity": math.exp(measured.mean),
        **further,
        "tokens": split.tokens,
        "predictedTokens": measured.predicted,
        "bytes": split.text_bytes,
        "documents": split.documents,
    }


def _baselines(
    context: StageContext, held_out: HeldOut, source: int, folder: str, manifest: Manifest
) -> dict[str, float]:
    context.check_stopping()
    context.progress.update("baselines", 0, None, "", f"Baselines on {manifest.source}")
    storage = context.storage
    if context.spec.objective.masked_lm or context.spec.objective.span_corruption:
        return _unigrams(context, held_out, source)
    return baselines.bits_per_byte(
        lambda: texts.validation_texts(storage, folder),
        _training_texts(context, folder, manifest),
        manifest.validation.text_bytes,
    )


def _unigrams(context: StageContext, held_out: HeldOut, source: int) -> dict[str, float]:
    """The same targets, predicted from the frequencies of tokens in a part of the training data."""
    loaded, manifest = tokenizer.load(context), held_out[source][1]
    # None of these takes anything from the model.
    objective = objectives.build(context.spec.objective, Parts(lambda: loaded, context.spec.training.seed, None))

    def targets(split: Literal["train", "validation"], most: int) -> Iterator[npt.NDArray[np.int32]]:
        there, reader = getattr(manifest, split).samples, SampleReader(context.storage, held_out, split)
        index = np.arange(min(there, most), dtype=np.int64) * there // max(1, min(there, most))
        parts = -(-len(index) * context.spec.training.sequence_length // _CHUNK_TOKENS)
        for some in np.array_split(index, max(1, parts)):
            context.check_stopping()
            batch = objective.batch(reader.read(np.full(len(some), source, dtype=np.int64), some), some)
            yield batch["targets"][batch["predicted"]].numpy()

    def of(split: Literal["train", "validation"], most: int) -> npt.NDArray[np.int64]:
        return unigrams.counted(targets(split, most), loaded.vocab_size)

    return unigrams.figures(of("train", _COUNTED_SEQUENCES), of("validation", manifest.validation.samples))


def _training_texts(context: StageContext, folder: str, manifest: Manifest) -> Iterator[str]:
    """A sample of the source's training text: documents, or decoded tokens where it was given as shards."""
    storage, name = context.storage, manifest.source
    source = next(source for source in context.spec.data.sources if source.name == name)
    if source.shards:
        return training_texts(storage, folder, manifest, tokenizer.load(context), baselines.SAMPLE_BYTES)
    prepared = context.upstream[Stage.PREPARE]
    bound = validation_bound(source_texts(storage, prepared, name), context.spec.data.validation.fraction)
    return sample_texts(storage, prepared, name, baselines.SAMPLE_BYTES, bound)


def _samples(context: StageContext, held_out: HeldOut, model: TrainedModel) -> list[dict[str, Any]]:
    prompts = [(prompt, "") for prompt in context.spec.evaluation.prompts]
    prompts = prompts or list(itertools.islice(_openings(context, held_out), _OPENINGS))

    def after_prompt(done: int) -> None:
        context.check_stopping()
        context.progress.update("samples", done, len(prompts), "prompts")

    length, seed = context.spec.training.sequence_length, context.spec.training.seed
    if context.spec.objective.masked_lm:
        filled = filling.fill(
            model.model, model.tokenizer, prompts, sequence_length=length, seed=seed, after_prompt=after_prompt
        )
        return [asdict(sample) for sample in filled]
    if context.spec.objective.span_corruption:
        filled = span_filling.fill(
            model.model, model.tokenizer, model.objective, prompts, sequence_length=length, after_prompt=after_prompt
        )
        return [asdict(sample) for sample in filled]
    written = generation.generate(
        model.model,
        model.tokenizer.tokenizer,
        prompts,
        end_of_text=model.tokenizer.end_of_text,
        sequence_length=length,
        seed=seed,
        after_prompt=after_prompt,
        continuation=prefix_generation.after_prefix
        if context.spec.objective.prefix_lm
        else generation.after_causal_prompt,
    )
    return [asdict(sample) for sample in written]


def _openings(context: StageContext, held_out: HeldOut) -> Iterator[tuple[str, str]]:
    """Beginnings of validation documents with their source: the first document of each source, then the second."""

    def of_source(folder: str, source: str) -> Iterator[tuple[str, str]]:
        for text in texts.validation_texts(context.storage, folder):
            yield texts.opening(text), source

    for openings in itertools.zip_longest(*(of_source(folder, manifest.source) for folder, manifest in held_out)):
        yield from (opening for opening in openings if opening)


def _flow(manifest: Manifest) -> Flow:
    documents, size = manifest.validation.documents, manifest.validation.text_bytes
    return Flow(documents_in=documents, bytes_in=size, documents_out=documents, bytes_out=size)


def _message(context: StageContext, by_source: dict[str, dict[str, Any]]) -> str:
    if not by_source:
        return "No document was held out: raise spec.data.validation.fraction for losses on held-out text."
    if any("accuracy" in figures for figures in by_source.values()):
        predicted = tasks.task(names.name(context.spec.objective)).predicted
        return f"Accuracy on {predicted}: " + ", ".join(
            f"{name} {figures['accuracy']:.3f} (unigram {figures['baselines']['unigramAccuracy']:.3f})"
            for name, figures in by_source.items()
        )
    prefixes = ", without prefixes" if any("lossWithoutPrefix" in figures for figures in by_source.values()) else ""
    return f"Bits per byte{prefixes}: " + ", ".join(
        f"{name} {figures['bitsPerByte']:.3f} (5-gram {figures['baselines']['byte5gram']:.3f}, "
        f"xz {figures['baselines']['xz']:.3f})"
        for name, figures in by_source.items()
    )
