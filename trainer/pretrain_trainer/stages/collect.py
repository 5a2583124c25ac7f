"""The Collect stage: raw documents of all sources become parts of one form, with their provenance.

Decides nothing about quality; drops only what is empty, bad within the budget, or of a licence that is not allowed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.nouns import counted, noun
from pretrain_api.stages import Flow
from pretrain_api.types.data import Source
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.documents import licenses, locations
from pretrain_trainer.documents.locations import Location
from pretrain_trainer.documents.reading import file_format
from pretrain_trainer.documents.records import Bad
from pretrain_trainer.documents.units import Collector, Counts, Unit, plan
from pretrain_trainer.parallel import ordered_map, processes

PROVENANCE = "provenance.jsonl"
"""Beside a source's parts: a line per file with url, bytes, sha256, version, license, documents, textBytes."""


def _sources(context: StageContext) -> Iterator[tuple[Source, str]]:
    """The sources that have raw documents, each with its field path."""
    for index, source in enumerate(context.spec.data.sources):
        if source.documents:
            yield source, f"spec.data.sources[{index}]"


def _listing(context: StageContext) -> list[tuple[Source, str, list[Location]]]:
    """The files of each source. UserError for a source whose licence or file names are refused."""
    data = context.spec.data
    listing = []
    for source, where in _sources(context):
        licenses.check_source(source, data.allowed_licenses, where)
        files = locations.find(source.documents, f"{where}.documents")
        for file in files:
            file_format(file.url, source.format, f"{where}.format")
        listing.append((source, where, files))
    return listing


def inputs(context: StageContext) -> str:
    """Identity of the files: names, sizes and versions."""
    digests = {source.name: locations.digest(files) for source, _, files in _listing(context)}
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def run(context: StageContext) -> StageResult:
    """Collect all sources. A bad or refused input leaves nothing behind."""
    try:
        return _run(context)
    except UserError:
        # Other inputs or settings have another identity: nobody would ever read what is here.
        context.storage.remove(layout.all_documents(context.fingerprint))
        raise


def _run(context: StageContext) -> StageResult:
    listing = _listing(context)
    units = [unit for source, where, files in listing for unit in plan(source, where, files)]
    counts = {source.name: Counts() for source, _, _ in listing}
    provenance: dict[str, list[dict[str, Any]]] = {source.name: [] for source, _, _ in listing}
    for unit, of_unit, of_files in _collected(context, units):
        counts[unit.source.name].add(of_unit)
        provenance[unit.source.name] += [{**file, "license": unit.source.license} for file in of_files]
    everything = Counts()
    for count in counts.values():
        everything.add(count)
    for source, where, files in listing:
        _check_any(source, where, counts[source.name], len(files))
        lines = "".join(json.dumps(file, sort_keys=True) + "\n" for file in provenance[source.name])
        folder = layout.documents(context.fingerprint, source.name)
        context.storage.write_bytes(f"{folder}/{PROVENANCE}", lines.encode())
    details = {source.name: _details(source, counts[source.name], provenance[source.name]) for source, _, _ in listing}
    return StageResult(
        flow=_flow(everything),
        sources={name: _flow(count) for name, count in counts.items()},
        message=_message(everything, sum(len(files) for _, _, files in listing)),
        details={"sources": details},
    )


def _collect_share(context: StageContext) -> None:
    """Collect the units of this share. What is bad ends it here already; nothing is removed, as others are at work."""
    units = [unit for source, where, files in _listing(context) for unit in plan(source, where, files)]
    for _ in _collected(context, context.share.of(units)):
        pass


PHASES: Mapping[str, Callable[[StageContext], None]] = {"collect": _collect_share}


def _collected(
    context: StageContext, units: Sequence[Unit]
) -> Iterator[tuple[Unit, Counts, Sequence[Mapping[str, Any]]]]:
    """Each unit, its counts and its files, as they are collected. UserError once too many documents are bad."""
    data = context.spec.data
    collector = Collector(
        context.spec.storage.uri,
        context.spec.storage.endpoint_url,
        context.fingerprint,
        context.scratch,
        tuple(data.allowed_licenses),
        data.max_document_bytes,
        data.max_bad_documents,
    )
    total_bytes = sum(max(file.size, 0) for unit in units for file in unit.files)
    done, everything = 0, Counts()
    # Where a server tells no size, it may be any.
    size = total_bytes if all(file.size >= 0 for unit in units for file in unit.files) else sys.maxsize
    workers = processes(context, len(units), size)
    for unit, record in zip(units, ordered_map(collector, units, workers, context), strict=True):
        of_unit = Counts(**record["counts"])
        everything.add(of_unit)
        _check_budget(everything, data.max_bad_documents)
        done += sum(max(file.size, 0) for file in unit.files)
        context.progress.update("collect", done, total_bytes, "bytes", documents=everything.documents)
        yield unit, of_unit, record["files"]


def _check_budget(counts: Counts, allowed: int) -> None:
    if counts.bad <= allowed:
        return
    first = Bad(*counts.bad_examples[0]).error()
    if allowed == 0:
        raise first
    raise UserError(
        "too-many-bad-documents",
        "spec.data.maxBadDocuments",
        f"More than {allowed} documents are bad. The first: {first.where}: {first.what}",
        "Correct the files, or write a larger number.",
    )


def _check_any(source: Source, where: str, counts: Counts, files: int) -> None:
    """UserError when a source has given nothing, with what became of its records."""
    if counts.documents:
        return
    if counts.refused:
        listed = ", ".join(f"{count} with {license}" for license, count in sorted(counts.refused.items()))
        raise UserError(
            "license-refused",
            f"{where}.documents",
            f"Every document of {source.name!r} has a licence that spec.data.allowedLicenses does not permit: {listed}.",
            "Remove the source, or allow the licence.",
        )
    found = [f"{counts.empty} empty"] if counts.empty else []
    found += [f"{counts.bad} bad"] if counts.bad else []
    found += [f"{counted(count, 'WARC record')} of type {kind}" for kind, count in sorted(counts.ignored.items())]
    raise UserError(
        "no-documents",
        f"{where}.documents",
        f"The {counted(files, 'file')} of {source.name!r} {noun(files, 'holds', 'hold')} no document: "
        f"{', '.join(found) or noun(files, 'it is empty', 'they are empty')}.",
        "Write the address of files with text.",
    )


def _details(source: Source, counts: Counts, files: list[dict[str, Any]]) -> dict[str, Any]:
    checksum = hashlib.sha256("".join(file["sha256"] for file in files).encode()).hexdigest()
    return {
        "documents": source.documents,
        "license": source.license,
        "files": len(files),
        "fileBytes": sum(file["bytes"] for file in files),
        "sha256": checksum,
        "empty": counts.empty,
        "bad": counts.bad,
        "badExamples": [{"code": code, "place": place, "problem": what} for code, place, what in counts.bad_examples],
        "refusedLicenses": dict(counts.refused),
        "ignoredRecords": dict(counts.ignored),
    }


def _flow(counts: Counts) -> Flow:
    return Flow(
        documents_in=counts.documents_in,
        bytes_in=counts.bytes_in,
        documents_out=counts.documents,
        bytes_out=counts.bytes,
    )


def _message(counts: Counts, files: int) -> str:
    dropped = {"empty": counts.empty, "bad": counts.bad, "refused by licence": counts.refused.total()}
    notes = "".join(f", {count} {what}" for what, count in dropped.items() if count)
    return f"{counted(counts.documents, 'document')} from {counted(files, 'file')}{notes}"
