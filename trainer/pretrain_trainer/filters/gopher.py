"""Gopher's rules of quality and repetition (Rae et al. 2021, arXiv:2112.11446, table A1). Text in, rule out."""

from __future__ import annotations

import re

import numpy as np

from pretrain_api.types.data import GopherQuality, GopherRepetition
from pretrain_trainer.filters.words import Hashes, Integers, Words, ngrams

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
_PARAGRAPHS = re.compile(r"\n{2,}")
_LINES = re.compile(r"\n+")


def quality(text: str, words: Words, rules: GopherQuality) -> str | None:
    """The quality rule that refuses a text; None when it passes."""
    count = int(words.is_word.sum())
    if count < rules.min_words:
        return "gopherQuality.minWords"
    if count > rules.max_words:
        return "gopherQuality.maxWords"
    mean = int(words.lengths[words.is_word].sum()) / max(count, 1)
    if mean < rules.min_mean_word_length:
        return "gopherQuality.minMeanWordLength"
    if mean > rules.max_mean_word_length:
        return "gopherQuality.maxMeanWordLength"
    tokens = max(len(words), 1)
    if max(text.count("#"), text.count("...") + text.count("…")) / tokens > rules.max_symbol_word_ratio:
        return "gopherQuality.maxSymbolWordRatio"
    lines = [line.strip() for line in text.splitlines()]
    if sum(line.startswith(("•", "-")) for line in lines) > rules.max_bullet_line_ratio * len(lines):
        return "gopherQuality.maxBulletLineRatio"
    if sum(line.endswith(("...", "…")) for line in lines) > rules.max_ellipsis_line_ratio * len(lines):
        return "gopherQuality.maxEllipsisLineRatio"
    if int(words.is_alphabetic.sum()) / tokens < rules.min_alphabetic_word_ratio:
        return "gopherQuality.minAlphabeticWordRatio"
    if len(STOP_WORDS.intersection(words.unique)) < rules.min_stop_words:
        return "gopherQuality.minStopWords"
    return None


def repetition(text: str, words: Words, rules: GopherRepetition) -> str | None:
    """The repetition rule that refuses a text; None when it passes."""
    characters = max(len(text), 1)
    paragraphs = _PARAGRAPHS.split(text.strip())
    repeated, repeated_characters = repeats(paragraphs)
    if repeated > rules.max_duplicate_paragraph_ratio * len(paragraphs):
        return "gopherRepetition.maxDuplicateParagraphRatio"
    if repeated_characters > rules.max_duplicate_paragraph_character_ratio * characters:
        return "gopherRepetition.maxDuplicateParagraphCharacterRatio"
    lines = _LINES.split(text)
    repeated, repeated_characters = repeats(lines)
    if repeated > rules.max_duplicate_line_ratio * len(lines):
        return "gopherRepetition.maxDuplicateLineRatio"
    if repeated_characters > rules.max_duplicate_line_character_ratio * characters:
        return "gopherRepetition.maxDuplicateLineCharacterRatio"
    ends = np.concatenate(([0], np.cumsum(words.lengths)))
    for n, ratio in enumerate(rules.max_top_ngram_character_ratios, 2):
        if _top_exceeds(ngrams(words.local_hashes, n), _spans(ends, n) + (n - 1), ratio * characters):
            return f"gopherRepetition.maxTopNgramCharacterRatios[{n - 2}]"
    for n, ratio in enumerate(rules.max_duplicate_ngram_character_ratios, 5):
        hashes = ngrams(words.local_hashes, n)
        order = np.argsort(hashes, kind="stable")
        later = order[1:][hashes[order[1:]] == hashes[order[:-1]]]
        if not len(later):
            break  # where no n-gram repeats, no longer one does
        spans = _spans(ends, n)
        if int(spans[later].sum()) > ratio * characters and _repeated_characters(hashes, spans, n) > ratio * characters:
            return f"gopherRepetition.maxDuplicateNgramCharacterRatios[{n - 5}]"
    return None


def repeats(pieces: list[str]) -> tuple[int, int]:
    """How many pieces repeat an earlier one, and their characters."""
    if len(set(pieces)) == len(pieces):
        return 0, 0
    seen: set[str] = set()
    count = characters = 0
    for piece in pieces:
        if piece in seen:
            count += 1
            characters += len(piece)
        seen.add(piece)
    return count, characters


def _spans(ends: Integers, n: int) -> Integers:
    """Characters of each run of n tokens, the space between them left out."""
    return ends[n:] - ends[:-n]


def _top_exceeds(hashes: Hashes, lengths: Integers, bound: float) -> bool:
    """Whether the most frequent n-gram, the first of several, covers more than `bound` characters."""
    if not len(hashes):
        return False
    ordered = np.sort(hashes)
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    counts = np.diff(np.append(starts, len(ordered)))
    most = int(counts.max())
    if most * int(lengths.max()) <= bound:
        return False
    first = int(np.flatnonzero(np.isin(hashes, ordered[starts[counts == most]]))[0])
    return most * int(lengths[first]) > bound


def _repeated_characters(hashes: Hashes, spans: Integers, n: int) -> int:
    """Characters in n-grams seen before, none counted twice: after a repeated one the scan goes on behind it."""
    codes, lengths = hashes.tolist(), spans.tolist()
    seen: set[int] = set()
    characters = index = 0
    while index < len(codes):
        if codes[index] in seen:
            characters += lengths[index]
            index += n
        else:
            seen.add(codes[index])
            index += 1
    return characters
