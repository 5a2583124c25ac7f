"""Overlap with evaluation texts by word n-grams (Brown et al. 2020, arXiv:2005.14165, appendix C: 13 words)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pretrain_trainer.filters.words import Hashes, Words, ngrams

_TEXTS_AT_ONCE = 4096


def known_ngrams(texts: Iterable[str], n: int) -> tuple[Hashes, int]:
    """Sorted distinct hashes of all n-grams of the texts, and how many texts are too short to have one."""
    distinct = np.empty(0, np.uint64)
    waiting: list[Hashes] = []
    short = 0
    for text in texts:
        hashes = ngrams(Words(text).normal_hashes, n)
        short += not len(hashes)
        waiting.append(hashes)
        if len(waiting) == _TEXTS_AT_ONCE:
            distinct, waiting = np.unique(np.concatenate((distinct, *waiting))), []
    return np.unique(np.concatenate((distinct, *waiting))), short


class Contamination:
    """Finds documents that share an n-gram with the evaluation texts, whose hashes are mapped from a .npy file."""

    def __init__(self, path: Path, n: int) -> None:
        self._known: Hashes = np.load(path, mmap_mode="r")
        self._n = n

    def overlaps(self, text: str) -> bool:
        """Whether any n-gram is known."""
        hashes = ngrams(Words(text).normal_hashes, self._n)
        if not len(self._known) or not len(hashes):
            return False
        places = np.searchsorted(self._known, hashes)
        return bool((self._known[np.minimum(places, len(self._known) - 1)] == hashes).any())
