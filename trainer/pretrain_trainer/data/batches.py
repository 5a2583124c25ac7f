"""Batches of a rank: its slice of each global batch, read ahead on a thread.

The global batch does not depend on the number of ranks; only the slices do.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from pretrain_trainer.data.digests import UInt64s, block_sums, sample_digests
from pretrain_trainer.data.order import Mixture
from pretrain_trainer.data.patience import Counts
from pretrain_trainer.data.samples import AnySamples, Int64s
from pretrain_trainer.data.upcoming import Piece, Upcoming, rank_slice

__all__ = ["Batch", "GlobalBatches", "rank_slice"]

AHEAD = 4
"""Batches read ahead."""

S = TypeVar("S", bound=AnySamples)
Read = TypeVar("Read", bound=AnySamples, covariant=True)
M = TypeVar("M")


class Reader(Protocol[Read]):
    """Samples of one kind by (source, index)."""

    @property
    def samples_at_once(self) -> int:
        """So many are read best at a time; a batch at least."""

    @property
    def wants_more(self) -> bool:
        """Whether it would read further ahead if it knew what comes next."""

    @property
    def counts(self) -> Counts | None:
        """What reading from remote storage has cost so far; None where nothing is counted."""

    def announce(self, source: Int64s, index: Int64s) -> None:
        """Tell which samples this machine reads after those that were announced before."""

    def pass_by(self, samples: int) -> None:
        """So many of the announced samples lie behind."""

    def close(self) -> None:
        """End what is read ahead; a `read` in another thread raises an error."""

    def read(self, source: Int64s, index: Int64s) -> Read:
        """The samples `index` of the sources `source`, arrays of one length; in that order."""


@dataclass(frozen=True)
class Batch(Generic[S, M]):
    """A rank's slice of one global batch."""

    first_sample: int
    """Position of the global batch's first sample; the next batch begins global_batch_size later."""
    positions: npt.NDArray[np.int64]
    """[samples]: the position of each sample of the slice (pretrain_trainer.data.upcoming.by_record)."""
    source: npt.NDArray[np.int64]
    """[samples]: which source of the mixture each sample comes from."""
    samples: S
    made: M
    """What training makes of the samples, on the thread that reads."""
    digests: UInt64s
    """[BLOCKS]: what this rank read of each part of the global batch (pretrain_trainer.data.digests)."""
    wait_seconds: float
    """Time for which the consumer waited for this batch."""


AnyBatch = Batch[Any, Any]


def unmade(samples: AnySamples, positions: Int64s) -> None:
    """For who wants the samples as they were read."""


_Made = tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64], S, M, UInt64s]


class GlobalBatches(Generic[S, M]):
    """Iterates over a rank's batches from `start_sample` on, without an end of its own.

    A context manager: leaving it stops the thread. What goes wrong while reading is raised where the batch concerned
    would have come; past the end of the mixture that is IndexError. The reader belongs to the thread until then, and is
    closed with it.
    """

    def __init__(
        self,
        reader: Reader[S],
        mixture: Mixture,
        global_batch_size: int,
        rank: int,
        world_size: int,
        start_sample: int,
        make: Callable[[S, Int64s], M],
        machine: range | None = None,
    ) -> None:
        """`make` is called with samples and their positions, int64 [samples], and may find some of them to be stand-ins.
        `machine` holds the neighbouring ranks, this one among them, that share what they fetch; only this one if None."""
        self._reader, self._make, self._size = reader, make, global_batch_size
        machine = machine or range(rank, rank + 1)
        self._upcoming = Upcoming(mixture, global_batch_size, machine, world_size, start_sample)
        own, first = (
            rank_slice(global_batch_size, rank, world_size),
            rank_slice(global_batch_size, machine[0], world_size),
        )
        self._slice = slice(own.start - first.start, own.stop - first.start)
        self._ready: queue.Queue[_Made[S, M] | Exception] = queue.Queue(AHEAD)
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

    def __iter__(self) -> Iterator[Batch[S, M]]:
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

    def _items(self) -> Iterator[_Made[S, M]]:
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
                    made = self._make(own, first + places)
                    digests = block_sums(sample_digests(own, first + places), places, self._size)
                    yield first, first + places, sources, own, made, digests
                self._reader.pass_by(source.shape[0] * piece.source.shape[1])
                begin += source.shape[0]
                steps = max(1, self._reader.samples_at_once // max(1, per_step))

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
