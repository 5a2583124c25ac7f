"""Images that a job trains on: the manifest of a source, which Encode writes. The tars stay where they are.

A sample is a record of the given shards, by its number over all of them. Which records are held out, and which cannot be
samples at all, stands beside the manifest in two arrays of rising numbers; all others are trained on.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

HELD_OUT = "held-out.npy"
"""Beside the manifest: int64 numbers of the records of the validation split, rising."""
LEFT_OUT = "left-out.npy"
"""Beside the manifest: int64 numbers of the records of neither split, rising."""


class ImageSplit(BaseModel):
    """The training or the validation part of a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = 0


class ImageManifest(BaseModel):
    """`manifest.json` of a source of images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["images"] = "images"
    version: Literal[1] = 1
    fingerprint: str
    """Identity of the Encode stage that wrote it."""
    source: str
    uri: str
    """Address of the manifest that `pretrain index` wrote."""
    sha256: str
    """Of its content."""
    images: Annotated[tuple[str, ...], Field(min_length=1)]
    """The members that may hold a record's image; the first that a record has is its image."""
    caption: str
    """Name of the member or JSON field with the caption; empty where training reads none."""
    left_out: dict[str, int] = {}
    """Records of neither split, by reason."""
    train: ImageSplit
    validation: ImageSplit

    @property
    def records(self) -> int:
        """Of the given shards."""
        return self.train.samples + self.validation.samples + sum(self.left_out.values())

    @property
    def samples_per_record(self) -> int:
        """One; as of manifests of tokens, for the order of the data."""
        return 1
