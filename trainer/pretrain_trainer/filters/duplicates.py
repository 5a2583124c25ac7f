"""Keys of a document for deduplication: one for its exact text, one per band of its MinHash signature.

Two documents are duplicates when they share a key of the same kind. The keys of a text never change: hashes and
seeds are fixed here and depend on no library's random numbers.
"""

from __future__ import annotations

import numpy as np
import xxhash

from pretrain_api.types.data import MinHashDeduplication
from pretrain_trainer.filters.words import Hashes, Words, mix, ngrams

_SEED = 0x5EED
_SHINGLES_AT_ONCE = 512


def exact_key(text: str) -> tuple[int, int]:
    """128 bits over the text, every run of white space as one space."""
    digest = xxhash.xxh3_128_intdigest(" ".join(text.split()).encode())
    return digest >> 64, digest & 0xFFFFFFFFFFFFFFFF


class MinHash:
    """Banded MinHash signatures (Broder 1997; bands as in Leskovec et al., Mining of Massive Datasets, 3.4).

    Hash i of a shingle x is (a_i x + b_i) mod 2^64 with odd a_i, on shingles that are mixed already. With 14 bands of
    8 rows, texts whose shingles have a Jaccard similarity s share a band with probability 1 - (1 - s^8)^14.
    """

    def __init__(self, rules: MinHashDeduplication) -> None:
        self._bands, self._ngram = rules.bands, rules.ngram
        count = rules.bands * rules.rows
        numbers = mix(np.arange(_SEED, _SEED + 2 * count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        self._factors = (numbers[:count] | np.uint64(1))[:, None]
        self._offsets = numbers[count:, None]
        self._products = np.empty((count, _SHINGLES_AT_ONCE), np.uint64)

    def signature(self, words: Words) -> Hashes | None:
        """uint64 [bands * rows]: the least hash of the shingles; None for a text without words.

        A text with fewer words than a shingle has itself as its only one.
        """
        hashes = words.normal_hashes
        if not len(hashes):
            return None
        shingles = ngrams(hashes, min(self._ngram, len(hashes)))
        least = np.full(len(self._factors), np.iinfo(np.uint64).max, np.uint64)
        for start in range(0, len(shingles), _SHINGLES_AT_ONCE):
            some = shingles[None, start : start + _SHINGLES_AT_ONCE]
            products = self._products[:, : some.shape[1]]
            np.multiply(self._factors, some, out=products)
            np.add(products, self._offsets, out=products)
            np.minimum(least, products.min(axis=1), out=least)
        return least

    def keys(self, words: Words) -> Hashes | None:
        """uint64 [bands]: a key per band, different bands never alike but by chance; None without words."""
        signature = self.signature(words)
        if signature is None:
            return None
        bands = signature.reshape(self._bands, -1)
        return np.fromiter(
            (xxhash.xxh3_64_intdigest(band.tobytes(), seed=n) for n, band in enumerate(bands)), np.uint64, self._bands
        )
