"""Batches of a rank: its slice of each global batch, read ahead on a thread.

The global batch does not depend on the number of ranks; only the slices do.
"""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from pretrain_trainer.data.digests import UInt64s, block_sums, sample_digests
from pretrain_trainer.data.order import Mixture, locate
from pretrain_trainer.data.reader import SampleReader, Samples

AHEAD = 4
"""Batches read ahead."""


def rank_slice(batch_size: int, rank: int, world_size: int) -> slice:
    """The part of a batch that belongs to a rank: contiguous, of floor or ceil(batch_size / world_size) samples."""
    return slice(batch_size * rank // world_size, batch_size * (rank + 1) // world_size)


@dataclass(frozen=True)
class Batch:
    """A rank's slice of one global batch."""

    first_sample: int
    """Position of the global batch's first sample; the next batch begins global_batch_size later."""
    source: npt.NDArray[np.int64]
    """[samples]: which source of the mixture each sample comes from."""
    samples: Samples
    digests: UInt64s
    """[BLOCKS]: what this rank read of each part of the global batch (pretrain_trainer.data.digests)."""
    wait_seconds: float
    """Time for which the consumer waited for this batch."""


_Item = tuple[int, npt.NDArray[np.int64], Samples, UInt64s]


class GlobalBatches:
    """Iterates over a rank's batches from `start_sample` on, without an end of its own.

    A context manager: leaving it stops the thread. What goes wrong while reading is raised where the batch concerned
    would have come; past the end of the mixture that is IndexError. The reader belongs to the thread until then.
    """

    def __init__(
        self,
        reader: SampleReader,
        mixture: Mixture,
        global_batch_size: int,
        rank: int,
        world_size: int,
        start_sample: int,
    ) -> None:
        self._reader, self._mixture, self._size = reader, mixture, global_batch_size
        self._slice = rank_slice(global_batch_size, rank, world_size)
        self._start = start_sample
        self._ready: queue.Queue[_Item | Exception] = queue.Queue(AHEAD)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read_ahead, name="read-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the thread and wait until it has ended."""
        self._stopping.set()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.05)  # frees a place, in case the thread waits for one
            except queue.Empty:
                self._thread.join(timeout=0.05)

    def __iter__(self) -> Iterator[Batch]:
        while not self._stopping.is_set():
            began = time.perf_counter()
            item = self._ready.get()
            if isinstance(item, Exception):
                raise item
            yield Batch(*item, wait_seconds=time.perf_counter() - began)

    def _read_ahead(self) -> None:
        first = self._start
        while not self._stopping.is_set():
            try:
                source, samples = self._read(first)
                item: _Item | Exception = (first, source, samples, self._digests(first, samples))
            except Exception as error:  # noqa: BLE001 - carried to the consumer, who raises it
                item = error
            self._ready.put(item)
            if isinstance(item, Exception):
                return
            first += self._size

    def _digests(self, first: int, samples: Samples) -> UInt64s:
        g = np.arange(first + self._slice.start, first + self._slice.stop, dtype=np.int64)
        return block_sums(sample_digests(samples, g), self._slice.start, self._size)

    def _read(self, first: int) -> tuple[npt.NDArray[np.int64], Samples]:
        g = np.arange(first + self._slice.start, first + self._slice.stop, dtype=np.int64)
        source, _, index = locate(self._mixture, g)
        return source, self._reader.read(source, index)
