"""Units of Collect's work: runs of consecutive files, each turned into parts by one process.

A unit's name, its parts and their bytes are functions of the listing alone.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_api.types.data import Source
from pretrain_trainer.documents import licenses, parts
from pretrain_trainer.documents.faults import patiently
from pretrain_trainer.documents.locations import Location
from pretrain_trainer.documents.parts import Document, PartWriter
from pretrain_trainer.documents.reading import OpenFile, Rules
from pretrain_trainer.documents.records import Bad, Ignored

UNIT_BYTES = 64 << 20
"""Files are gathered until their sizes reach this. One larger file is a unit of its own, with several parts."""
UNKNOWN_SIZE_BYTES = 16 << 20
"""What a file of unknown size counts as."""
EXAMPLES = 5
"""Bad documents that are kept as examples."""


@dataclass(frozen=True)
class Unit:
    """Files of a source; `first_file` is the index of the first one in the source's listing."""

    source: Source
    where: str
    number: int
    first_file: int
    files: tuple[Location, ...]


def plan(source: Source, where: str, files: Iterable[Location]) -> Iterator[Unit]:
    """The units of a source, in order."""
    waiting: list[Location] = []
    size = number = first = 0
    for index, file in enumerate(files):
        waiting.append(file)
        size += file.size if file.size >= 0 else UNKNOWN_SIZE_BYTES
        if size >= UNIT_BYTES:
            yield Unit(source, where, number, first, tuple(waiting))
            waiting, size, number, first = [], 0, number + 1, index + 1
    if waiting:
        yield Unit(source, where, number, first, tuple(waiting))


@dataclass
class Counts:
    """What happened to the records of a unit or a source. Bytes are UTF-8 bytes of text."""

    documents_in: int = 0
    bytes_in: int = 0
    documents: int = 0
    bytes: int = 0
    empty: int = 0
    bad: int = 0
    bad_examples: list[list[str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Take in the counts of a later unit."""
        self.documents_in += other.documents_in
        self.bytes_in += other.bytes_in
        self.documents += other.documents
        self.bytes += other.bytes
        self.empty += other.empty
        self.bad += other.bad
        self.bad_examples = (self.bad_examples + other.bad_examples)[:EXAMPLES]
        self.refused.update(other.refused)
        self.ignored.update(other.ignored)


@dataclass(frozen=True)
class Collector:
    """Turns units into parts. Picklable: it travels to the processes of the pool."""

    storage_uri: str
    endpoint_url: str
    fingerprint: str
    scratch: Path
    allowed_licenses: tuple[str, ...]
    max_document_bytes: int
    max_bad_documents: int

    def __call__(self, unit: Unit) -> dict[str, Any]:
        """The unit's record, from storage where the unit was complete already.

        {"counts": Counts as a dict, "files": [{url, bytes, sha256, version, documents, textBytes}]}
        """
        storage = Storage(self.storage_uri, self.endpoint_url)
        path = f"{layout.documents(self.fingerprint, unit.source.name)}/{unit.number:06d}.unit.json"
        if storage.exists(path):
            record: dict[str, Any] = storage.read_json(path)
            return record
        record = patiently(lambda: self._collect(storage, unit))
        storage.write_json(path, record)
        return record

    def _collect(self, storage: Storage, unit: Unit) -> dict[str, Any]:
        counts = Counts()
        files = []
        with _Parts(storage, layout.documents(self.fingerprint, unit.source.name), unit.number) as writer:
            for index, location in enumerate(unit.files, unit.first_file):
                documents, size = counts.documents, counts.bytes
                file = self._file(unit, index, location, counts, writer)
                if counts.bad > self.max_bad_documents:
                    break  # the job fails; what follows would change nothing
                files.append(
                    {
                        "url": location.url,
                        "bytes": file.size,
                        "sha256": file.sha256,
                        "version": location.version,
                        "documents": counts.documents - documents,
                        "textBytes": counts.bytes - size,
                    }
                )
        return {"counts": vars(counts), "files": files}

    def _file(self, unit: Unit, index: int, location: Location, counts: Counts, writer: _Parts) -> OpenFile:
        source = unit.source
        file = OpenFile(
            location,
            Rules(source.format, source.fields, self.max_document_bytes),
            f"{unit.where}.documents",
            self.scratch,
        )
        for number, record in enumerate(file.records()):
            if isinstance(record, Ignored):
                counts.ignored[record.reason] += 1
                continue
            counts.documents_in += 1
            if isinstance(record, Bad):
                counts.bad += 1
                if len(counts.bad_examples) < EXAMPLES:
                    counts.bad_examples.append([record.code, record.place, record.problem])
                if counts.bad > self.max_bad_documents:
                    break
                continue
            size = len(record.text.encode())
            counts.bytes_in += size
            if not record.text or record.text.isspace():
                counts.empty += 1
            elif refused := licenses.refused(record.license, source.license, self.allowed_licenses):
                counts.refused[refused] += 1
            else:
                counts.documents += 1
                counts.bytes += size
                writer.add(Document(f"{source.name}/{index}/{number}", record.text, record.url, record.license), size)
        return file


class _Parts:
    """The parts of a unit, `<unit>-<number>.parquet`. Those that an earlier run completed are not written again."""

    def __init__(self, storage: Storage, folder: str, unit: int) -> None:
        self._storage, self._folder, self._unit = storage, folder, unit
        self._number = 0
        self._there = set(storage.names(folder))
        self._stack = contextlib.ExitStack()
        self._writer: PartWriter | None = None
        self._documents = self._bytes = 0

    def _name(self) -> str:
        return f"{self._unit:06d}-{self._number:04d}.parquet"

    def add(self, document: Document, size: int) -> None:
        if self._bytes and self._bytes + size > parts.PART_BYTES:
            self._finish()
        if not self._documents and not {self._name(), parts.counts_name(self._name())} <= self._there:
            self._writer = self._stack.enter_context(PartWriter(self._storage, f"{self._folder}/{self._name()}"))
        if self._writer:
            self._writer.add(document, size)
        self._documents += 1
        self._bytes += size

    def _finish(self) -> None:
        self._stack.close()
        if self._writer:
            counts = {"documents": self._documents, "bytes": self._bytes}
            self._storage.write_json(f"{self._folder}/{parts.counts_name(self._name())}", counts)
        self._writer = None
        self._number += 1
        self._documents = self._bytes = 0

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
        elif self._documents:
            self._finish()
