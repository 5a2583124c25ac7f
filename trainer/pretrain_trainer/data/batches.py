"""Batches of a rank: its slice of each global batch, read ahead on a thread.

The global batch does not depend on the number of ranks; only the slices do.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from pretrain_trainer.data.digests import UInt64s, block_sums, sample_digests
from pretrain_trainer.data.order import Mixture
from pretrain_trainer.data.patience import Counts
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.data.upcoming import Piece, Upcoming, rank_slice

__all__ = ["Batch", "GlobalBatches", "rank_slice"]

AHEAD = 4
"""Batches read ahead."""
_CHUNK_TOKENS = 1 << 19
"""Tokens that are read at once, in whole batches: a call costs as much as some 60,000 of them (benchmarks/LOG.md)."""


@dataclass(frozen=True)
class Batch:
    """A rank's slice of one global batch."""

    first_sample: int
    """Position of the global batch's first sample; the next batch begins global_batch_size later."""
    positions: npt.NDArray[np.int64]
    """[samples]: the position of each sample of the slice (pretrain_trainer.data.upcoming.by_record)."""
    source: npt.NDArray[np.int64]
    """[samples]: which source of the mixture each sample comes from."""
    samples: Samples
    digests: UInt64s
    """[BLOCKS]: what this rank read of each part of the global batch (pretrain_trainer.data.digests)."""
    wait_seconds: float
    """Time for which the consumer waited for this batch."""


_Item = tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64], Samples, UInt64s]


class GlobalBatches:
    """Iterates over a rank's batches from `start_sample` on, without an end of its own.

    A context manager: leaving it stops the thread. What goes wrong while reading is raised where the batch concerned
    would have come; past the end of the mixture that is IndexError. The reader belongs to the thread until then, and is
    closed with it.
    """

    def __init__(
        self,
        reader: SampleReader,
        mixture: Mixture,
        global_batch_size: int,
        rank: int,
        world_size: int,
        start_sample: int,
        machine: range | None = None,
    ) -> None:
        """`machine` holds the neighbouring ranks, this one among them, that share what they fetch; only this one if None."""
        self._reader, self._size = reader, global_batch_size
        machine = machine or range(rank, rank + 1)
        self._upcoming = Upcoming(mixture, global_batch_size, machine, world_size, start_sample)
        own, first = (
            rank_slice(global_batch_size, rank, world_size),
            rank_slice(global_batch_size, machine[0], world_size),
        )
        self._slice = slice(own.start - first.start, own.stop - first.start)
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
        self._reader.close()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.05)  # frees a place, in case the thread waits for one
            except queue.Empty:
                self._thread.join(timeout=0.05)

    @property
    def counts(self) -> Counts | None:
        """What reading from remote storage has cost so far."""
        return self._reader.counts

    def __iter__(self) -> Iterator[Batch]:
        while not self._stopping.is_set():
            began = time.perf_counter()
            item = self._ready.get()
            if isinstance(item, Exception):
                raise item
            yield Batch(*item, wait_seconds=time.perf_counter() - began)

    def _read_ahead(self) -> None:
        try:
            for item in self._items():
                self._ready.put(item)
                if self._stopping.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - carried to the consumer, who raises it
            self._ready.put(error)

    def _items(self) -> Iterator[_Item]:
        announced: deque[Piece] = deque()
        steps = 1  # the first batch alone, so that it comes soon
        while True:
            if not announced:
                self._announce(announced)
            self._announce_more(announced)
            piece = announced.popleft()
            begin = 0
            while begin < len(piece.source):
                some = slice(begin, begin + steps)
                place, source, index = (part[some, self._slice] for part in (piece.place, piece.source, piece.index))
                samples = self._reader.read(source.reshape(-1), index.reshape(-1))
                per_step = source.shape[1]
                for step, (places, sources) in enumerate(zip(place, source, strict=True)):
                    rows = slice(step * per_step, (step + 1) * per_step)
                    first, own = piece.first + (begin + step) * self._size, samples.rows(rows)
                    digests = block_sums(sample_digests(own, first + places), places, self._size)
                    yield first, first + places, sources, own, digests
                self._reader.pass_by(source.shape[0] * piece.source.shape[1])
                begin += source.shape[0]
                steps = max(1, _CHUNK_TOKENS // max(1, per_step * samples.tokens.shape[1]))

    def _announce_more(self, announced: "deque[Piece]") -> None:
        """Pieces as far ahead as the reader would like to know them."""
        while self._reader.wants_more:
            try:
                self._announce(announced)
            except IndexError:  # the end of the mixture; told when it is reached
                return

    def _announce(self, announced: "deque[Piece]") -> None:
        piece = self._upcoming.piece()
        self._reader.announce(piece.source.reshape(-1), piece.index.reshape(-1))
        announced.append(piece)
