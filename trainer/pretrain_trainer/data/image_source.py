"""A source of images as its readers see it: the given shards, and which of their records are the samples of a split."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pretrain_api.image_shards import HELD_OUT, LEFT_OUT, ImageManifest
from pretrain_api.storage import Storage
from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.data.npy import array_of
from pretrain_trainer.data.patience import PatientReads
from pretrain_trainer.data.samples import Int64s

Split = Literal["train", "validation"]


@dataclass(frozen=True)
class ImageSource:
    """One split of a source of images."""

    manifest: ImageManifest
    shards: SampleShards
    held_out: Int64s
    """Rising numbers of the records of the validation split."""
    kept_from_training: Int64s
    """Rising numbers of the records that are not trained on: those that are held out, and those of neither split."""
    split: Split

    @classmethod
    def of(
        cls, storage: Storage, folder: str, manifest: ImageManifest, split: Split, patient: PatientReads | None = None
    ) -> ImageSource:
        """The source whose manifest lies in a folder of the storage, with requests as `patient` repeats them. UserError
        where its shards cannot be read."""
        held_out, left_out = (_numbers(storage, f"{folder}/{name}") for name in (HELD_OUT, LEFT_OUT))
        shards = SampleShards(manifest.uri, storage.endpoint_url, patient=patient)
        return cls(manifest, shards, held_out, np.union1d(held_out, left_out), split)

    @property
    def samples(self) -> int:
        return self.manifest.train.samples if self.split == "train" else self.manifest.validation.samples

    def records(self, index: Int64s) -> Int64s:
        """The records of samples of the split. Raises IndexError for a sample that it lacks."""
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < self.samples:
            raise IndexError(f"source {self.manifest.source} has samples 0 to {self.samples - 1} in split {self.split}")
        if self.split == "validation":
            return self.held_out[index]
        # Of the records before the i-th that is kept, i are trained on: so many more are trained on before it.
        before = self.kept_from_training - np.arange(len(self.kept_from_training))
        return index + np.searchsorted(before, index, side="right")


def save_numbers(storage: Storage, path: str, numbers: Int64s) -> None:
    """Write rising record numbers."""
    buffer = io.BytesIO()
    np.save(buffer, numbers, allow_pickle=False)
    storage.write_bytes(path, buffer.getvalue())


def _numbers(storage: Storage, path: str) -> Int64s:
    return array_of(storage.read_bytes(path))
