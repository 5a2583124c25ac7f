"""What became of each source's documents between the files and the tokenizer: the counts of Collect and Prepare in one form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pretrain_api import objectives
from pretrain_api.stages import Stage
from pretrain_trainer.reporting.records import RunRecords


@dataclass(frozen=True)
class Removed:
    """What one rule removed. Collect does not count the bytes of what it drops."""

    documents: int
    bytes: int = 0


@dataclass(frozen=True)
class SourceFunnel:
    """The way of a source's documents. `removed` has Collect's reasons first, then Prepare's rules, the greatest first."""

    source: str
    documents_in: int
    bytes_in: int
    removed: Mapping[str, Removed]
    masked: Mapping[str, int]
    """Times that personal information was masked, by kind."""
    kept_documents: int
    kept_bytes: int


@dataclass(frozen=True)
class Example:
    """The beginning of a document that a rule removed."""

    source: str
    rule: str
    id: str
    text: str


def funnels(run: RunRecords) -> list[SourceFunnel]:
    """One funnel per source that has raw documents, or images of which some were left out; empty before Collect, or Encode
    of images, is complete."""
    if not objectives.learns_text(run.job.spec):
        return list(_of_images(run))
    if Stage.COLLECT not in run.records:
        return []
    collect, prepared = run.records[Stage.COLLECT], _by_source(run, Stage.PREPARE)
    funnels = []
    for source, details in _by_source(run, Stage.COLLECT).items():
        flow, after = collect.sources[source], prepared.get(source)
        refused = {f"licence {name}": count for name, count in details["refusedLicenses"].items()}
        dropped = {"empty": details["empty"], "bad": details["bad"], **refused}
        removed = {reason: Removed(count) for reason, count in dropped.items() if count}
        if after:
            removed |= {rule: Removed(**counts) for rule, counts in after["removed"].items()}
        funnels.append(
            SourceFunnel(
                source=source,
                documents_in=flow.documents_in,
                bytes_in=flow.bytes_in,
                removed=removed,
                masked=after["masked"] if after else {},
                kept_documents=after["documents"] if after else flow.documents_out,
                kept_bytes=after["bytes"] if after else flow.bytes_out,
            )
        )
    return funnels


def _of_images(run: RunRecords) -> Iterator[SourceFunnel]:
    encoded = run.records[Stage.ENCODE].details["bySource"] if Stage.ENCODE in run.records else {}
    for source, details in encoded.items():
        kept, left_out = details["samples"] + details["validationSamples"], details["leftOut"]
        if left_out:
            removed = {fault: Removed(count) for fault, count in left_out.items()}
            records = kept + sum(left_out.values())
            yield SourceFunnel(source, records, 0, removed, {}, kept, 0)  # tars are counted in bytes, not images


def examples(run: RunRecords) -> Iterator[Example]:
    """Documents that Prepare removed, the first few of each rule and source."""
    for source, details in _by_source(run, Stage.PREPARE).items():
        for example in details["examples"]:
            yield Example(source, example["rule"], example["id"], example["text"])


def _by_source(run: RunRecords, stage: Stage) -> Mapping[str, Any]:
    record = run.records.get(stage)
    return record.details["sources"] if record else {}
