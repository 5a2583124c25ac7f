"""The commit log of checkpoints: one record per slot, created exclusively, never rewritten."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION: Literal[1] = 1
"""Of the records' format."""


class WeightSegment(BaseModel):
    """From which position of the data order on which weights hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: int
    """First position."""
    weights: tuple[float, ...]
    """Of the sources, in the job's order."""


class _Slot(BaseModel):
    """What every record has. Its place is `checkpoints/log/<sequence>.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = VERSION
    sequence: int
    fingerprint: str
    """Identity of the Train stage; other identities' checkpoints are never loaded."""
    generation: int
    """Of the start of training that wrote it. Never falls along the log."""
    time: datetime
    nonce: str
    """The writer's own, by which it knows its record when the answer to its request was lost."""


class Fence(_Slot):
    """The first record of each start: a writer of an earlier one that meets it, or anything behind it, gives up."""

    kind: Literal["fence"] = "fence"


class Bad(_Slot):
    """A checkpoint that its reader found damaged, and that later ones leave aside."""

    kind: Literal["bad"] = "bad"
    of: int
    """Sequence number of its commit."""
    reason: str


class Commit(_Slot):
    """A checkpoint exists once this record does."""

    kind: Literal["commit"] = "commit"
    step: int
    samples: int
    """Samples seen: the position in the data order."""
    segments: tuple[WeightSegment, ...] = ()
    """All weights so far. With `samples`, all that the order's future depends on beside the job."""
    tokens: int
    final: bool
    """The last checkpoint of a finished training."""
    data: Annotated[str, Field(pattern=r"^checkpoints/data/[\w-]+$")]
    """Folder of the payload, relative to the storage; nothing outside is read or removed because of what a record says."""
    manifest_sha256: str
    """SHA-256 of the payload's manifest.json, which lists every chunk with its place and crc32c."""
    history: Annotated[str, Field(pattern=r"^(checkpoints/history/[\w-]+/[\w-]+\.jsonl)?$")]
    """File with the figures of the steps since the parent, and with what they read; relative to the storage."""
    history_sha256: str = ""
    parent: int = 0
    """Sequence number of the commit that training went on from; 0 for one that began from nothing."""
    parent_sha256: str = ""
    """SHA-256 of the parent's record, so that a record which was edited later does not fit its successor."""


Record = Commit | Fence | Bad
RECORDS: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])
"""Reads any record."""
