"""The commit log of checkpoints: one record per slot, created exclusively, never rewritten."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


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
    tokens: int
    final: bool
    """The last checkpoint of a finished training."""
    data: str
    """Folder of the payload, relative to the storage."""
    manifest_sha256: str
    """SHA-256 of the payload's manifest.json, which lists every file with size and crc32c."""
    history: str
    """File with the figures of the steps since the commit before, relative to the storage."""
    time: datetime
    nonce: str
