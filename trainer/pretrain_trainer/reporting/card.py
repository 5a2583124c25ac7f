"""The model card, `README.md` of an exported model: what it was made of, how, and how good it is.

Says only what a second run of the same job would say again, so that the same weights have the same card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from pretrain_api import objectives
from pretrain_api.nouns import counted
from pretrain_api.run_length import run_length, warmup_steps
from pretrain_api.types import PretrainJobSpec
from pretrain_trainer.reporting import image_figures, tasks, words
from pretrain_trainer.reporting.content import Content, gather
from pretrain_trainer.reporting.pictures import Shown
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.reporting.summary import summarise
from pretrain_trainer.reporting.types import Report


@dataclass(frozen=True)
class _Row:
    """A source of the data table."""

    name: str
    documents: str
    license: str
    files: int
    kept_documents: int
    kept_bytes: int
    planned_ratio: float
    tokens_seen: int
    epochs_seen: float


def render(run: RunRecords, dtype: str, max_difference: float, pictures: Sequence[Shown] = ()) -> str:
    """The card of a run that is complete up to Evaluate; `pictures` lie beside it."""
    epoch = datetime.fromtimestamp(0, UTC)  # the card does not show it
    content = gather(run, summarise(run, "Exporting", epoch))
    report, spec = content.report, run.job.spec
    # Markdown, not HTML: nothing is escaped but what would end a table's cell.
    environment = Environment(
        loader=PackageLoader("pretrain_trainer.reporting"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"count": words.count, "size": words.size, "cell": _cell, "quoted": _quoted}
    template = "model_card.md" if objectives.learns_text(spec) else "image_model_card.md"
    return environment.get_template(template).render(
        metadata=_metadata(report, spec),
        name=report.name,
        model_name=content.model_name,
        report=report,
        task=tasks.task(objectives.name(spec.objective)),
        compared=image_figures.compared(report.evaluation),
        pictures=pictures,
        prefix=spec.objective.prefix_lm is not None,
        version=version("pretrain-operator"),
        prompt=report.samples[0].prompt if report.samples else "",
        sources=_sources(content),
        provenance=[row for row in content.provenance if row.sha256],
        preparation=_preparation(spec, content),
        settings=_settings(spec, report),
        fraction=spec.data.validation.fraction,
        sequence_length=spec.training.sequence_length,
        image_size=None if objectives.learns_text(spec) else objectives.image_size(spec),
        dtype=dtype,
        difference=f"{max_difference:.3g}",
        fingerprints=[(stage.value, record.fingerprint) for stage, record in run.records.items()],
    )


def _metadata(report: Report, spec: PretrainJobSpec) -> str:
    """The hub's YAML front matter. The licence of the weights is for their owner to state, so it is left out."""
    language = spec.data.prepare.language
    task = tasks.task(objectives.name(spec.objective))
    results = [
        EvalResult(
            task_type=task.pipeline,
            dataset_type=name,
            dataset_name=f"{name}, held-out {task.units.documents}",
            metric_type=metric,
            metric_name=title,
            metric_value=round(value, 6),
        )
        for name, e in report.evaluation.items()
        for metric, title, value in (
            ("bits_per_byte", f"Bits per byte{task.of_whole_text}", e.bits_per_byte),
            ("accuracy", f"Accuracy on {task.predicted}", e.accuracy),
            ("perplexity", f"Perplexity{task.of_predicted}", e.perplexity),
            ("knn_accuracy", "k-NN accuracy", e.knn_accuracy),
            ("linear_accuracy", "Linear accuracy", e.linear_accuracy),
        )
        if value is not None
    ]
    data = ModelCardData(
        language=list(language.keep) if language else None,
        library_name="transformers",
        pipeline_tag=task.pipeline,
        tags=["pretrain-operator", "base-model"],
        model_name=report.name,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _sources(content: Content) -> list[_Row]:
    kept = {funnel.source: funnel for funnel in content.funnels}
    rows = []
    for provenance in content.provenance:
        source, funnel = content.report.sources[provenance.source], kept.get(provenance.source)
        rows.append(
            _Row(
                name=provenance.source,
                documents=provenance.documents,
                license=provenance.license or "not stated",
                files=provenance.files,
                kept_documents=funnel.kept_documents if funnel else 0,
                kept_bytes=funnel.kept_bytes if funnel else 0,
                planned_ratio=source.planned_ratio,
                tokens_seen=source.tokens_seen,
                epochs_seen=source.epochs_seen,
            )
        )
    return rows


def _preparation(spec: PretrainJobSpec, content: Content) -> list[str]:
    """What was done to the documents, and how much of them it took."""
    lines = []
    prepare = spec.data.prepare
    if prepare.language:
        languages = ", ".join(prepare.language.keep)
        lines.append(f"Language identification: {languages}, probability at least {prepare.language.threshold}.")
    if prepare.quality:
        lines.append(f"Quality filters: preset {prepare.quality.preset}.")
    if prepare.deduplicate:
        exact, minhash = prepare.deduplicate.exact, prepare.deduplicate.minhash
        kinds = ["exact"] if exact is not None else []
        if minhash is not None:
            kinds.append(f"MinHash ({minhash.bands} bands of {minhash.rows} over word {minhash.ngram}-grams)")
        lines.append(f"Deduplication within and across sources: {', '.join(kinds)}.")
    if prepare.pii:
        lines.append(f"Personal information masked: {', '.join(prepare.pii.mask)}.")
    if prepare.decontaminate:
        texts = len(prepare.decontaminate.against)
        lines.append(
            f"Decontamination: {prepare.decontaminate.ngram}-grams of words against {counted(texts, 'evaluation text')}."
        )
    for funnel in content.funnels:
        removed = ", ".join(f"{rule} {r.documents:,}" for rule, r in funnel.removed.items() if r.documents)
        lines.append(
            f"{funnel.source}: {counted(funnel.documents_in, 'document')} read, {funnel.kept_documents:,} kept"
            + (f"; removed: {removed}." if removed else ".")
        )
    return lines or ["None."]


def _length(spec: PretrainJobSpec, report: Report) -> list[tuple[str, str]]:
    training, done = spec.training, report.training
    if objectives.learns_text(spec):
        batch = f"{counted(training.global_batch_size, 'sequence')} of {training.sequence_length:,} tokens"
        return [("Steps", f"{done.step:,} of {batch}"), ("Tokens", f"{done.tokens:,}")]
    return [
        ("Steps", f"{done.step:,} of {counted(training.global_batch_size, 'image')}"),
        ("Images", f"{done.samples:,}"),
    ]


def _settings(spec: PretrainJobSpec, report: Report) -> list[tuple[str, str]]:
    training, done = spec.training, report.training
    optimizer: Mapping[str, Any] = training.optimizer.model_dump(by_alias=True, exclude_none=True)
    name, values = next(iter(optimizer.items()))
    schedule = training.schedule
    return [
        *_length(spec, report),
        ("Optimizer", f"{name}, " + ", ".join(f"{key} {value:g}" for key, value in values.items())),
        (
            "Learning rate",
            f"{counted(warmup_steps(schedule, run_length(training).steps), 'step')} of warm-up, then {schedule.decay}",
        ),
        ("Gradient norm clipped to", f"{training.max_gradient_norm:g}"),
        ("Precision", f"{done.precision}, weights and optimizer in fp32"),
        ("Seed", str(training.seed)),
        ("Hardware", f"{done.device}, {counted(done.world_size, 'rank')}; PyTorch {done.torch_version}"),
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
