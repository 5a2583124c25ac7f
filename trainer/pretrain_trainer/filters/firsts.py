"""Which keys were seen before, for any number of keys in bounded memory.

Keys go to files by their leading bits; each file is then sorted on its own. Only the files grow with the corpus.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

PARTITION_BYTES = 32 << 20
"""What a partition is sized to; sorting one takes about four times as much memory."""
_BUFFERS_BYTES = 32 << 20


class Firsts:
    """Collects (key, document) pairs in the order of the documents, then tells who repeats an earlier key."""

    def __init__(self, folder: Path, width: int, expected: int) -> None:
        """`width` uint64 make a key; `expected` pairs decide the number of partitions."""
        folder.mkdir(parents=True)
        self._columns = width + 1
        self._bits = max(0, (expected * self._columns * 8 // PARTITION_BYTES).bit_length())
        self._paths = [folder / f"{number:06d}.keys" for number in range(1 << self._bits)]
        self._waiting: list[list[npt.NDArray[np.uint64]]] = [[] for _ in self._paths]
        self._waiting_bytes = 0

    def add(self, keys: npt.NDArray[np.uint64], documents: npt.NDArray[np.uint64]) -> None:
        """Take keys uint64 [pairs, width] of documents uint64 [pairs], numbered in their order."""
        rows = np.column_stack((keys, documents))
        if self._bits:
            partition = rows[:, 0] >> np.uint64(64 - self._bits)
            order = np.argsort(partition, kind="stable")
            edges = np.searchsorted(partition[order], np.arange(len(self._paths) + 1, dtype=np.uint64))
            for number in np.flatnonzero(np.diff(edges)):
                self._waiting[number].append(rows[order[edges[number] : edges[number + 1]]])
        else:
            self._waiting[0].append(rows)
        self._waiting_bytes += rows.nbytes
        if self._waiting_bytes > _BUFFERS_BYTES:
            self._flush()

    def _flush(self) -> None:
        for path, rows in zip(self._paths, self._waiting, strict=True):
            if rows:
                with open(path, "ab") as file:
                    for some in rows:
                        some.tofile(file)
                rows.clear()
        self._waiting_bytes = 0

    def mark_repeats(self, marks: npt.NDArray[np.uint8], mark: int) -> None:
        """Set marks[document] to `mark` where it is 0 and the document has a key that an earlier document has."""
        self._flush()
        for path in self._paths:
            if not path.exists():
                continue
            rows = np.fromfile(path, np.uint64).reshape(-1, self._columns)
            path.unlink()
            rows = rows[np.lexsort(tuple(rows[:, column] for column in reversed(range(self._columns))))]
            same = (rows[1:, :-1] == rows[:-1, :-1]).all(axis=1)
            later = rows[1:, -1][same & (rows[1:, -1] != rows[:-1, -1])]
            marks[later[marks[later] == 0]] = mark
