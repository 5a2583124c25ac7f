"""Parts: the parquet files in which Collect and Prepare leave a source's documents.

A part is complete once its counts lie beside it. Parts are named by where they come from, never by when they were
written, so that a stage that was killed finds what it has done.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pretrain_api import layout
from pretrain_api.storage import Storage

SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "text", "url", "license")])
ROW_GROUP_BYTES = 8 << 20
"""Most text in a row group, in UTF-8 bytes; a longer document has one of its own."""
PART_BYTES = 64 << 20
"""Text after which Collect begins a new part, in UTF-8 bytes."""
_SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class Document:
    """A row of a part. `id` is "<source>/<file index>/<record number>", `license` "" where the source's holds."""

    id: str
    text: str
    url: str
    license: str


def names(storage: Storage, fingerprint: str, source: str) -> list[str]:
    """Paths of the complete parts of a source, relative to the storage, in order."""
    folder = layout.documents(fingerprint, source)
    found = set(storage.names(folder))
    return [f"{folder}/{name}" for name in sorted(found) if name.endswith(_SUFFIX) and counts_name(name) in found]


def counts_name(part: str) -> str:
    """The file with the counts of a part."""
    return part.removesuffix(_SUFFIX) + ".json"


def read(storage: Storage, part: str) -> Iterator[Document]:
    """The documents of a part, a row group in memory at a time."""
    with storage.fs.open(storage.path(part), "rb") as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        for index in range(parquet.num_row_groups):
            table = parquet.read_row_group(index, use_threads=False)
            columns = [table.column(name).to_pylist() for name in SCHEMA.names]
            del table
            for row in zip(*columns, strict=True):
                yield Document(*row)


class PartWriter:
    """Writes one part; it appears in the storage when the block ends without an error."""

    def __init__(self, storage: Storage, part: str) -> None:
        self._create = storage.create(part)
        self._rows: list[Document] = []
        self._waiting_bytes = 0
        self.documents = 0
        self.bytes = 0

    def __enter__(self) -> PartWriter:
        file: IO[bytes] = self._create.__enter__()
        self._parquet = pq.ParquetWriter(file, SCHEMA, compression="zstd", use_dictionary=["url", "license"])
        return self

    def add(self, document: Document, size: int) -> None:
        """Append a document whose text has `size` UTF-8 bytes."""
        if self._waiting_bytes and self._waiting_bytes + size > ROW_GROUP_BYTES:
            self._flush()
        self._rows.append(document)
        self._waiting_bytes += size
        self.documents += 1
        self.bytes += size

    def _flush(self) -> None:
        rows = self._rows
        columns: list[list[Any]] = [
            [row.id for row in rows],
            [row.text for row in rows],
            [row.url for row in rows],
            [row.license for row in rows],
        ]
        self._parquet.write_table(pa.table(columns, schema=SCHEMA))
        self._rows, self._waiting_bytes = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:
            stack.push(self._create.__exit__)
            if error is not None:
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    self._parquet.close()
                raise error
            if self._rows:
                self._flush()
            self._parquet.close()
