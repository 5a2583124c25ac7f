"""A source as its readers see it: its records and the shape of its sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.data.indexes import Records


@dataclass(frozen=True)
class Source:
    """One split of a source's shards."""

    name: str
    storage: Storage
    """Where its shards are."""
    records: Records
    samples_per_record: int
    width: int
    """Tokens of a sequence, the one behind its last input included."""
    dtype: np.dtype[np.unsignedinteger[Any]]
    split: str

    @classmethod
    def of(cls, storage: Storage, folder: str, manifest: Manifest, split: str) -> Source:
        storage, folder = storage.at(folder)
        return cls(
            manifest.source,
            storage,
            Records(folder, manifest.train if split == "train" else manifest.validation),
            manifest.samples_per_record,
            manifest.sequence_length + 1,
            np.dtype(manifest.dtype),
            split,
        )

    @property
    def record_bytes(self) -> int:
        """About what a record takes."""
        return self.samples_per_record * self.width * self.dtype.itemsize
