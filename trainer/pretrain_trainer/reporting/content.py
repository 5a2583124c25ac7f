"""All that the page shows beside the steps, gathered from a run's records. Says what, not how it looks."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pretrain_api import objectives
from pretrain_api.image_shards import ImageManifest
from pretrain_api.nouns import counted
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob
from pretrain_trainer.reporting import plots, words
from pretrain_trainer.reporting.funnel import Example, SourceFunnel, examples, funnels
from pretrain_trainer.reporting.plots import Plot
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.reporting.types import Report


@dataclass(frozen=True)
class Provenance:
    """Where a source comes from."""

    source: str
    documents: str
    license: str
    files: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class TokensOfSource:
    """What the tokenizer made of a source."""

    source: str
    bytes_per_token: float
    characters_lost: int
    """Of a sample of `characters`: those that did not survive the round trip."""
    characters: int
    train_tokens: int
    shards: int


@dataclass(frozen=True)
class Tokens:
    """The tokenizer and what it made of the documents."""

    facts: Sequence[tuple[str, str]]
    sources: Sequence[TokensOfSource]
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Content:
    """The page's content; empty where a run did not get that far."""

    report: Report
    job: Mapping[str, Any]
    model_name: str
    funnels: Sequence[SourceFunnel]
    examples: Sequence[Example]
    tokenizer: Tokens
    provenance: Sequence[Provenance]
    environment: Sequence[tuple[str, str]]


def gather(run: RunRecords, report: Report) -> Content:
    """The content of the page of a run whose summary is `report`."""
    return Content(
        report=report,
        job=run.job.model_dump(mode="json", by_alias=True, exclude={"status"}, exclude_none=True),
        model_name=_model_name(run.job),
        funnels=funnels(run),
        examples=list(examples(run)),
        tokenizer=_tokens(run),
        provenance=_provenance(run),
        environment=_environment(report),
    )


def _model_name(job: PretrainJob) -> str:
    model = job.spec.model
    return model.preset or str((model.config or {}).get("model_type", ""))


def _tokens(run: RunRecords) -> Tokens:
    record = run.records.get(Stage.TOKENIZER)
    if record is None or not record.details:
        return Tokens([], [], [])
    details = record.details
    # Captions stay text until they are read.
    is_encoded = Stage.ENCODE in run.records and objectives.learns_text(run.job.spec)
    encoded = run.records[Stage.ENCODE].details["bySource"] if is_encoded else {}
    facts = [
        ("Made by", details["algorithm"] or details["uri"]),
        ("Vocabulary", f"{details['vocabSize']:,} entries"),
        ("End of text, padding", f"{details['endOfText']}, {details['padding']}"),
        ("SHA-256 of tokenizer.json", details["sha256"]),
    ]
    measured = details["bySource"]  # sources of documents
    sources = [
        TokensOfSource(
            source=name,
            bytes_per_token=encoded[name]["bytesPerToken"] if name in encoded else measured[name]["bytesPerToken"],
            characters_lost=measured[name]["charactersLost"] if name in measured else 0,
            characters=measured[name]["characters"] if name in measured else 0,
            train_tokens=encoded[name]["tokens"] if name in encoded else 0,
            shards=encoded[name]["shards"] if name in encoded else 0,
        )
        for name in [source.name for source in run.job.spec.data.sources]
        if name in encoded or name in measured
    ]
    token_lengths = {name: figures["tokenLengths"] for name, figures in measured.items()}
    document_lengths = {name: figures["documentLengths"] for name, figures in encoded.items()}
    return Tokens(facts, sources, plots.token_lengths(token_lengths) + plots.document_lengths(document_lengths))


def _provenance(run: RunRecords) -> list[Provenance]:
    record = run.records.get(Stage.COLLECT)
    collected = {**(record.details["sources"] if record else {}), **_images(run)}
    rows = []
    for source in run.job.spec.data.sources:
        details = collected.get(source.name, {})
        rows.append(
            Provenance(
                source=source.name,
                documents=source.documents or source.shards,
                license=source.license,
                files=details.get("files", 0),
                bytes=details.get("fileBytes", 0),
                sha256=details.get("sha256", ""),
            )
        )
    return rows


def _images(run: RunRecords) -> dict[str, Any]:
    """The same of shards of images, which stay where they are."""
    manifests = run.manifests()
    encoded = run.records[Stage.ENCODE].details["bySource"] if manifests else {}
    return {
        name: {"files": encoded[name]["shards"], "fileBytes": encoded[name]["bytes"], "sha256": manifest.sha256}
        for name, manifest in manifests.items()
        if isinstance(manifest, ImageManifest)
    }


def _environment(report: Report) -> list[tuple[str, str]]:
    training = report.training
    rows = [("Python", platform.python_version()), ("Platform", platform.platform())]
    if training.device:
        ranks = counted(training.world_size, "rank")
        rows += [
            (
                "Trained on",
                f"{training.device}, {ranks}, {training.precision}, micro-batches of {training.micro_batch_size}",
            ),
            ("PyTorch", training.torch_version),
            ("Parameters", words.count(training.parameters)),
            ("SHA-256 of the final weights", training.parameters_sha256),
            ("Skipped steps", words.count(training.skipped_steps)),
        ]
    return rows
