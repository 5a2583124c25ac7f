"""The second pass of Prepare: documents that stay are cleaned of lines and personal information, and written."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pretrain_api.storage import Storage
from pretrain_api.types.data import Prepare
from pretrain_trainer.documents import parts
from pretrain_trainer.documents.parts import Document, PartWriter
from pretrain_trainer.filters import c4, pii, quality
from pretrain_trainer.filters.contamination import Contamination
from pretrain_trainer.filters.deciding import Decisions
from pretrain_trainer.filters.tally import Tally

EXACT, NEAR = 1, 2
"""Marks of documents that deduplication removes."""
_RULES = {EXACT: "deduplicate.exact", NEAR: "deduplicate.minhash"}


@dataclass(frozen=True)
class Task:
    """A part to write: where it comes from, what was decided, where it goes; `marks` uint8 [documents]."""

    part: str
    decisions: str
    target: str
    marks: npt.NDArray[np.uint8]


class Cleaner:
    """The filters of the second pass, built from the settings."""

    def __init__(self, prepare: Prepare, known_ngrams: str) -> None:
        rules = quality.rules(prepare.quality) if prepare.quality else None
        self._c4 = rules.c4 if rules else None
        self._kinds = prepare.pii.mask if prepare.pii else []
        against = prepare.decontaminate
        self._contamination = Contamination(Path(known_ngrams), against.ngram) if against else None

    def write(self, storage: Storage, task: Task) -> Tally:
        """Write the documents of a part that stay, in order."""
        decisions = Decisions.load(storage, task.decisions)
        tally = decisions.tally
        with PartWriter(storage, task.target) as writer:
            documents = parts.read(storage, task.part)
            for document, kept, mark in zip(documents, decisions.kept, task.marks, strict=True):
                if not kept:
                    continue
                size = len(document.text.encode())
                if mark:
                    tally.remove(_RULES[int(mark)], document.id, document.text, size)
                    continue
                text = c4.apply(document.text, self._c4)[0] if self._c4 else document.text
                # Before masking: an evaluation text that holds an address must still be recognised.
                if self._contamination and self._contamination.overlaps(text):
                    tally.remove("decontaminate", document.id, document.text, size)
                    continue
                text = pii.mask(text, self._kinds, tally.masked)
                writer.add(Document(document.id, text, document.url, document.license), len(text.encode()))
        tally.documents, tally.bytes = writer.documents, writer.bytes
        return tally


@functools.lru_cache(maxsize=1)
def _cleaner(settings: str, known_ngrams: str) -> Cleaner:
    return Cleaner(Prepare.model_validate_json(settings), known_ngrams)


@dataclass(frozen=True)
class SecondPass:
    """Writes parts. Picklable: it travels to the processes of the pool."""

    storage_uri: str
    endpoint_url: str
    settings: str
    known_ngrams: str

    def __call__(self, task: Task) -> dict[str, Any]:
        """Write a part and then its counts, unless an earlier run has; the counts as in `Tally`."""
        storage = Storage(self.storage_uri, self.endpoint_url)
        counts = parts.counts_name(task.target)
        if not storage.exists(counts):
            tally = _cleaner(self.settings, self.known_ngrams).write(storage, task)
            storage.write_json(counts, vars(tally))
        record: dict[str, Any] = storage.read_json(counts)
        return record
