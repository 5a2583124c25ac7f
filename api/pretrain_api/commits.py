"""The commit log of checkpoints: one record per slot, created exclusively, never rewritten."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class WeightSegment(BaseModel):
    """From which position of the data order on which weights hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: int
    """First position."""
    weights: tuple[float, ...]
    """Of the sources, in the job's order."""


class Commit(BaseModel):
    """`checkpoints/log/<sequence>.json`. A checkpoint exists once this record does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    kind: Literal["commit"] = "commit"
    sequence: int
    fingerprint: str
    """Identity of the Train stage; other identities' checkpoints are never loaded."""
    generation: int
    step: int
    samples: int
    """Samples seen: the position in the data order."""
    segments: tuple[WeightSegment, ...] = ()
    """All weights so far. With `samples`, all that the order's future depends on beside the job."""
    tokens: int
    final: bool
    """The last checkpoint of a finished training."""
    data: str
    """Folder of the payload, relative to the storage."""
    manifest_sha256: str
    """SHA-256 of the payload's manifest.json, which lists every file with size and crc32c."""
    history: str
    """File with the figures of the steps since the parent, and with what they read; relative to the storage."""
    history_sha256: str = ""
    parent: int = 0
    """Sequence number of the commit that training went on from; 0 for one that began from nothing."""
    parent_sha256: str = ""
    """SHA-256 of the parent's record, so that a record which was edited later does not fit its successor."""
    time: datetime
    nonce: str
