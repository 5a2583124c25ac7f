"""Splitting text into words once, for all rules that count them.

A token is an address that begins with http, a run of letters, digits and underscores (with . @ & between two of
them, as in 3.14), an apostrophe with the letters behind it, a run of dots or hyphens, or one other character that is
not white space. This is close to what spaCy's tokenizer does to text with spaces between words, thirty times faster;
it does not segment Chinese, Japanese, Thai or Khmer.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import regex
import xxhash

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

# The module re would cut words of Indic scripts at their vowel signs.
_TOKEN = regex.compile(r"https?://\S+|\w+(?:[.@&]\w+)*|(?<=\w)['’]\w+|\.\.+|-+|[^\w\s]")
_DIGITS = regex.compile(r"\d+")
_SLICE_CHARACTERS = 1 << 20
"""A longer text is split in slices of about this length, so that its tokens are never all objects at once."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_CACHED_WORDS = 1 << 16


class Words:
    """The tokens of a text.

    `unique` are the distinct ones in the order of their first place; `ids` int64 [tokens], each token's place in
    `unique`; `lengths` int64 [tokens] in characters.
    """

    def __init__(self, text: str) -> None:
        places: dict[str, int] = {}
        ids = []
        for piece in _slices(text):
            tokens = _TOKEN.findall(piece)
            ids.append(np.fromiter([places.setdefault(token, len(places)) for token in tokens], np.int64, len(tokens)))
        self.ids: Integers = ids[0] if len(ids) == 1 else np.concatenate(ids)
        self.unique = list(places)

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def lengths(self) -> Integers:
        return np.fromiter(map(len, self.unique), np.int64, len(self.unique))[self.ids]

    @functools.cached_property
    def is_word(self) -> npt.NDArray[np.bool_]:
        """bool [tokens]: whether a token is more than punctuation."""
        return np.fromiter(map(_is_word, self.unique), np.bool_, len(self.unique))[self.ids]

    @functools.cached_property
    def is_alphabetic(self) -> npt.NDArray[np.bool_]:
        """bool [tokens]: whether a token has a letter."""
        flags = (t.isalpha() or any(map(str.isalpha, t)) for t in self.unique)
        return np.fromiter(flags, np.bool_, len(self.unique))[self.ids]

    @functools.cached_property
    def local_hashes(self) -> Hashes:
        """uint64 [tokens]: equal exactly for equal tokens of this text."""
        hashes: Hashes = mix(np.arange(1, len(self.unique) + 1, dtype=np.uint64))[self.ids]
        return hashes

    @functools.cached_property
    def normal_hashes(self) -> Hashes:
        """uint64 [words]: hashes of the words, whatever text they are in, case, accents and digits evened out."""
        hashes: Hashes = np.fromiter(map(_normal_hash, self.unique), np.uint64, len(self.unique))[self.ids]
        words: Hashes = hashes[hashes != 0]
        return words


def _slices(text: str) -> Iterator[str]:
    """The text in slices that end at a space where there is one near."""
    start = 0
    while len(text) - start > 2 * _SLICE_CHARACTERS:
        end = text.find(" ", start + _SLICE_CHARACTERS, start + _SLICE_CHARACTERS + _SLICE_CHARACTERS // 16)
        end = end if end >= 0 else start + _SLICE_CHARACTERS
        yield text[start:end]
        start = end
    yield text[start:]


def _is_word(token: str) -> bool:
    return token[:1].isalnum() or any(map(str.isalnum, token))


def mix(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele et al. 2014): a bijection of uint64 that looks random."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def ngrams(hashes: Hashes, n: int) -> Hashes:
    """uint64 [max(tokens - n + 1, 0)]: a hash of each run of n tokens."""
    count = len(hashes) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    result = hashes[:count]
    for offset in range(1, n):
        result = result * _MULTIPLIER + hashes[offset : offset + count]
    return mix(result)


def normalise(word: str) -> str:
    """Lower case, without accents, every number as 0; "" for punctuation."""
    word = word.lower()
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
    return str(_DIGITS.sub("0", word)) if _is_word(word) else ""


@functools.lru_cache(_CACHED_WORDS)
def _normal_hash(word: str) -> int:
    """0 stands for punctuation."""
    normal = normalise(word)
    return (xxhash.xxh3_64_intdigest(normal.encode()) or 1) if normal else 0
