"""The first pass of Prepare: each document is judged by language and quality, and its keys are computed.

A document's text is not written here; what is decided about a part lies in one file beside where the part will be.
"""

from __future__ import annotations

import functools
import io
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pretrain_api.storage import Storage
from pretrain_api.types.data import Prepare
from pretrain_trainer.documents import parts
from pretrain_trainer.filters import quality
from pretrain_trainer.filters.duplicates import MinHash, exact_key
from pretrain_trainer.filters.language import LanguageFilter
from pretrain_trainer.filters.tally import Tally
from pretrain_trainer.filters.words import Words


@dataclass(frozen=True)
class Decisions:
    """What the first pass says about a part.

    `kept` bool [documents]; `exact` uint64 [kept, 2 or 0]; `bands` uint64 [kept with words, bands] for the kept
    documents that `has_bands` bool [kept] names; `tally` counts what was removed.
    """

    kept: npt.NDArray[np.bool_]
    exact: npt.NDArray[np.uint64]
    bands: npt.NDArray[np.uint64]
    has_bands: npt.NDArray[np.bool_]
    tally: Tally

    def save(self, storage: Storage, path: str) -> None:
        buffer = io.BytesIO()
        arrays = {"kept": self.kept, "exact": self.exact, "bands": self.bands, "has_bands": self.has_bands}
        tally = np.frombuffer(json.dumps(vars(self.tally)).encode(), np.uint8)
        np.savez(buffer, allow_pickle=False, tally=tally, **arrays)
        storage.write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, storage: Storage, path: str) -> Decisions:
        with np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False) as file:
            tally = Tally.of(json.loads(file["tally"].tobytes()))
            return cls(file["kept"], file["exact"], file["bands"], file["has_bands"], tally)


class Judge:
    """The filters of the first pass, built from the settings."""

    def __init__(self, prepare: Prepare) -> None:
        self.language = LanguageFilter(prepare.language) if prepare.language else None
        self.rules = quality.rules(prepare.quality) if prepare.quality else None
        deduplicate = prepare.deduplicate
        self.exact = bool(deduplicate and deduplicate.exact)
        self.minhash = MinHash(deduplicate.minhash) if deduplicate and deduplicate.minhash else None
        self.bands = deduplicate.minhash.bands if deduplicate and deduplicate.minhash else 0

    def decide(self, storage: Storage, part: str) -> Decisions:
        """Judge the documents of a part, in order."""
        tally = Tally()
        kept: list[bool] = []
        exact: list[tuple[int, int]] = []
        bands: list[npt.NDArray[np.uint64]] = []
        has_bands: list[bool] = []
        for document in parts.read(storage, part):
            size = len(document.text.encode())
            tally.documents_in += 1
            tally.bytes_in += size
            text, words, rule = document.text, None, None
            if self.language and (language := self.language.refuses(text)):
                tally.languages[language] += 1
                rule = "language"
            elif self.rules:
                verdict = quality.judge(text, self.rules)
                text, words, rule = verdict.text, verdict.words, verdict.rule
            kept.append(rule is None)
            if rule:
                tally.remove(rule, document.id, document.text, size)
                continue
            if self.exact:
                exact.append(exact_key(text))
            if self.minhash:
                keys = self.minhash.keys(words or Words(text))
                has_bands.append(keys is not None)
                if keys is not None:
                    bands.append(keys)
        return Decisions(
            np.array(kept, np.bool_),
            np.array(exact, np.uint64).reshape(-1, 2),
            np.array(bands, np.uint64).reshape(-1, max(self.bands, 1)),
            np.array(has_bands, np.bool_),
            tally,
        )


@functools.lru_cache(maxsize=1)
def _judge(settings: str) -> Judge:
    """One per process: models and tables are loaded once, not once per part."""
    return Judge(Prepare.model_validate_json(settings))


@dataclass(frozen=True)
class FirstPass:
    """Decides about parts. Picklable: it travels to the processes of the pool."""

    storage_uri: str
    endpoint_url: str
    settings: str

    def __call__(self, paths: tuple[str, str]) -> Tally:
        """From (part, decisions file): decide unless an earlier run has; the tally of the part."""
        part, target = paths
        storage = Storage(self.storage_uri, self.endpoint_url)
        if storage.exists(target):
            return Decisions.load(storage, target).tally
        decisions = _judge(self.settings).decide(storage, part)
        decisions.save(storage, target)
        return decisions.tally
