"""Reading images by number from the tars where they lie, a request for each, many at once and ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pretrain_trainer.cores import usable_cores
from pretrain_trainer.data.foreign import DamagedRecord, Sample
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.image_source import ImageSource
from pretrain_trainer.data.patience import Counts, PatientReads
from pretrain_trainer.data.quarantine import NOTHING_DAMAGED, Quarantine
from pretrain_trainer.data.samples import Int64s
from pretrain_trainer.documents import webdataset
from pretrain_trainer.documents.records import Bad

_REMOTE_REQUESTS = 32
"""Under way at once: at 50 ms each they bring 640 images a second."""
_AHEAD, _AHEAD_BYTES = 2048, 256 << 20
"""Records that are fetched before they are asked for, at most, and about their bytes."""
_MOST_CAPTION_BYTES = 1 << 20
_READS = 3
"""Of a record whose checksum differs: it may be the way here that damaged it."""

_Place = tuple[int, int]
"""Source and index."""


@dataclass(frozen=True)
class _Read:
    image: bytes
    caption: str
    fault: str = ""
    """Why the record can be no sample."""


class ImageReader:
    """Samples of several sources by (source, index). For one thread at a time; `close` may come from another."""

    samples_at_once = 1
    """Beyond a batch nothing is won by reading more at a time."""

    def __init__(
        self,
        sources: Sequence[ImageSource],
        patient: PatientReads,
        quarantine: Quarantine = NOTHING_DAMAGED,
        field: str | None = None,
    ) -> None:
        """`patient` is what the sources' requests are repeated by; `field` names what is read in place of the caption."""
        self._sources, self._quarantine, self._field = sources, quarantine, field
        is_local = all(source.shards.storage.is_local for source in sources)
        self._patient = None if is_local else patient
        threads = usable_cores() if is_local else _REMOTE_REQUESTS
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fetch")
        largest = max(source.shards.manifest.bytes // max(1, len(source.shards)) for source in sources)
        self._most = 0 if is_local else max(threads, min(_AHEAD, _AHEAD_BYTES // max(1, largest)))
        self._announced: deque[_Place] = deque()
        self._coming: dict[_Place, deque[Future[_Read]]] = {}
        """What is fetched ahead: as often as it was announced, for a small source comes round before the next read."""
        self._fetched = 0

    @property
    def wants_more(self) -> bool:
        """Whether it would read further ahead if it knew what comes next."""
        return self._fetched + len(self._announced) < self._most

    @property
    def counts(self) -> Counts | None:
        """What reading from remote storage has cost so far."""
        return self._patient.counts if self._patient else None

    def announce(self, source: Int64s, index: Int64s) -> None:
        """Tell which samples this machine reads after those that were announced before."""
        if self._most:
            self._announced.extend(zip(source.tolist(), index.tolist(), strict=True))
            self._fetch_ahead()

    def pass_by(self, samples: int) -> None:
        """What was announced is read, so that nothing needs to be forgotten."""

    def close(self) -> None:
        """End what is read ahead; a `read` in another thread raises an error."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def read(self, source: Int64s, index: Int64s) -> ImageSamples:
        """The samples `index` of the sources `source`, arrays of one length; in that order.

        Raises CorruptShard for a record that is damaged and may not be replaced, IndexError for a sample that a source
        lacks, StorageUnavailable when a store fails for minutes.
        """
        places = list(zip(source.tolist(), index.tolist(), strict=True))
        coming = [self._taken(place) for place in places]
        found = [each.result() for each in coming]
        self._fetch_ahead()

        def broken(row: int, why: str) -> None:
            self._leave_out(*places[row], f"holds an image that cannot be trained on: {why}")

        for place, read in zip(places, found, strict=True):
            if read.fault:
                self._leave_out(*place, read.fault)
        return ImageSamples(
            [read.image for read in found],
            [read.caption for read in found],
            np.array([bool(read.fault) for read in found], dtype=np.bool_),
            broken,
        )

    def _fetch_ahead(self) -> None:
        while self._announced and self._fetched < self._most:
            place = self._announced.popleft()
            self._coming.setdefault(place, deque()).append(self._pool.submit(self._read, *place))
            self._fetched += 1

    def _taken(self, place: _Place) -> Future[_Read]:
        if futures := self._coming.get(place):
            self._fetched -= 1
            first = futures.popleft()
            if not futures:
                del self._coming[place]
            return first
        if self._announced and self._announced[0] == place:  # more is read at once than is fetched ahead
            self._announced.popleft()
        return self._pool.submit(self._read, *place)

    def _read(self, source: int, index: int) -> _Read:
        of = self._sources[source]
        (record,) = of.records(np.array([index])).tolist()
        for attempt in range(_READS):
            try:
                sample = of.shards.read(record)
                break
            except DamagedRecord as error:
                if attempt == _READS - 1:
                    return _Read(b"", "", f"is damaged: {error}")
        image = next((sample.members[name] for name in of.manifest.images if name in sample.members), b"")
        field = of.manifest.caption if self._field is None else self._field
        return _captioned(image, sample, field) if field else _Read(image, "")

    def _leave_out(self, source: int, index: int, fault: str) -> None:
        of = self._sources[source]
        (record,) = of.records(np.array([index])).tolist()
        shard, inside = of.shards.place(record)
        self._quarantine.leave_out(of.manifest.source, of.split, index, of.shards.address(shard), inside, 1, fault)


def _captioned(image: bytes, sample: Sample, field: str) -> _Read:
    caption = webdataset.field(sample.members, (), field, sample.key, _MOST_CAPTION_BYTES)
    if caption is None:
        return _Read(b"", "", f"has no caption {field!r}, but {', '.join(sorted(sample.members))}")
    if isinstance(caption, Bad):
        return _Read(b"", "", f"has a caption that cannot be read: {caption.problem}")
    if not caption.strip():
        return _Read(b"", "", "has an empty caption")
    return _Read(image, caption)
