"""Reading prepared documents: the Parquet parts that Prepare left for a source, row group by row group."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pretrain_api import layout
from pretrain_api.storage import Storage

PIECE_BYTES = 8 << 20
"""Text that is encoded as one piece of work; row groups are not divided."""


@dataclass(frozen=True)
class RowGroups:
    """Consecutive row groups of one part."""

    path: str
    """The part, relative to the storage."""
    first: int
    last: int
    """Behind the last one."""
    bytes: int
    """Of text, as `group_bytes` counts them."""

    @property
    def name(self) -> str:
        """A name for the piece, unique within its source."""
        return f"{self.path.rsplit('/', 1)[-1].removesuffix('.parquet')}-{self.first:06d}"


def part_paths(storage: Storage, fingerprint: str, source: str) -> list[str]:
    """The parts of a source, in the order of its documents."""
    folder = layout.documents(fingerprint, source)
    return [f"{folder}/{name}" for name in storage.names(folder) if name.endswith(".parquet")]


def group_bytes(storage: Storage, path: str) -> list[int]:
    """Bytes of text in each row group of a part, as the Parquet file counts them: some more than the text's own."""
    with storage.fs.open(storage.path(path), "rb") as file:
        metadata = pq.read_metadata(file)
    column = metadata.schema.names.index("text")
    return [metadata.row_group(i).column(column).total_uncompressed_size for i in range(metadata.num_row_groups)]


def divide(storage: Storage, path: str) -> list[RowGroups]:
    """Pieces of a part: as many row groups each as hold PIECE_BYTES of text, at least one."""
    sizes = group_bytes(storage, path)
    pieces, first, held = list[RowGroups](), 0, 0
    for i, size in enumerate(sizes):
        if i > first and held + size > PIECE_BYTES:
            pieces.append(RowGroups(path, first, i, held))
            first, held = i, 0
        held += size
    if first < len(sizes):
        pieces.append(RowGroups(path, first, len(sizes), held))
    return pieces


def read(storage: Storage, piece: RowGroups) -> Iterator[pa.RecordBatch]:
    """Record batches of a piece with all columns, one row group in memory at a time."""
    with storage.fs.open(storage.path(piece.path), "rb") as file, pq.ParquetFile(file) as parquet:
        for group in range(piece.first, piece.last):
            yield from parquet.iter_batches(batch_size=1024, row_groups=[group])


def texts(storage: Storage, piece: RowGroups) -> Iterator[str]:
    """The texts of a piece."""
    for batch in read(storage, piece):
        for value in batch.column("text"):
            yield value.as_py()


def source_texts(storage: Storage, fingerprint: str, source: str) -> Iterator[str]:
    """All texts of a source, in the order of its documents."""
    for path in part_paths(storage, fingerprint, source):
        for piece in divide(storage, path):
            yield from texts(storage, piece)
