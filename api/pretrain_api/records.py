"""Reading completion records: the one place that tells a damaged one. Writing them is the stage programs' affair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.stages import CompletionRecord, Stage

if TYPE_CHECKING:
    from pretrain_api.storage import Storage


def read(storage: Storage, stage: Stage, fingerprint: str) -> CompletionRecord:
    """The record of a complete stage. FileNotFoundError where there is none, UserError where it cannot be read."""
    path = layout.record(stage, fingerprint)
    try:
        return CompletionRecord.model_validate(storage.read_json(path))
    except ValueError as error:  # not UTF-8, not JSON, or not a record
        raise UserError(
            "run-unreadable",
            storage.uri(path),
            f"it is no completion record of {stage} ({str(error).splitlines()[0]}).",
            f"Remove that file: {stage} runs again.",
        ) from error
