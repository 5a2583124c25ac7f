"""A weighted sample of the training text: which documents of which source, spread evenly and the same in every run."""

from collections.abc import Iterator, Mapping

import pyarrow.parquet as pq

from pretrain_api.storage import Storage
from pretrain_trainer.data.documents import RowGroups, part_paths, texts
from pretrain_trainer.data.split import is_held_out


def divide_bytes(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Bytes of the sample for each source, in proportion to the weights."""
    whole = sum(weights.values())
    return {name: int(total * weight / whole) for name, weight in weights.items()}


def text_bytes(storage: Storage, path: str) -> int:
    """Bytes of text in a part, from the Parquet file's own statistics."""
    with storage.fs.open(storage.path(path), "rb") as file:
        metadata = pq.read_metadata(file)
    return sum(_group_bytes(metadata, group) for group in range(metadata.num_row_groups))


def _group_bytes(metadata: pq.FileMetaData, group: int) -> int:
    row_group = metadata.row_group(group)
    return next(
        int(row_group.column(i).total_uncompressed_size)
        for i in range(row_group.num_columns)
        if row_group.column(i).path_in_schema == "text"
    )


def sample_texts(storage: Storage, fingerprint: str, source: str, most_bytes: int, bound: int) -> Iterator[str]:
    """Documents of a source that are not held out, about `most_bytes` of UTF-8 text and never more.

    Every k-th row group is read, with k such that four times as much is read as is taken; of these documents one is
    taken whenever the taken bytes have fallen behind their share of the bytes seen. The last one is cut to fit.
    """
    paths = part_paths(storage, fingerprint, source)
    total = sum(text_bytes(storage, path) for path in paths)
    if not total or not most_bytes:
        return
    every = max(1, total // (4 * most_bytes))
    number = seen = taken = 0
    for path in paths:
        with storage.fs.open(storage.path(path), "rb") as file:
            groups = pq.read_metadata(file).num_row_groups
        for group in range(groups):
            number += 1
            if (number - 1) % every:
                continue
            for text in texts(storage, RowGroups(path, group, group + 1)):
                if is_held_out(text, bound):
                    continue
                size = len(text.encode())
                seen += size
                if taken * total >= seen * every * most_bytes:
                    continue
                if taken + size > most_bytes:
                    yield text.encode()[: most_bytes - taken].decode(errors="ignore")
                    return
                taken += size
                yield text
