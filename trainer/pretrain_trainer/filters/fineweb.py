"""The rules that FineWeb added (Penedo et al. 2024, arXiv:2406.17557, section 3.6). Text in, rule out."""

from __future__ import annotations

import regex

from pretrain_api.types.data import FineWebQuality
from pretrain_trainer.filters.gopher import repeats
from pretrain_trainer.filters.words import Words

_SENTENCE_TERMINAL = regex.compile(r"\p{Sentence_Terminal}")


def quality(text: str, words: Words, rules: FineWebQuality) -> str | None:
    """The rule that refuses a text; None when it passes."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    if sum(map(_ends_sentence, lines)) < rules.min_line_punctuation_ratio * len(lines) or not lines:
        return "fineweb.minLinePunctuationRatio"
    if sum(len(line) <= rules.short_line_length for line in lines) > rules.max_short_line_ratio * len(lines):
        return "fineweb.maxShortLineRatio"
    breaks = text.count("\n")
    if repeats(lines)[1] > rules.max_duplicate_line_character_ratio * (len(text) - breaks):
        return "fineweb.maxDuplicateLineCharacterRatio"
    if breaks > rules.max_newline_word_ratio * len(words):
        return "fineweb.maxNewlineWordRatio"
    return None


def _ends_sentence(line: str) -> bool:
    """Whether the last character ends a sentence, by Unicode's property of that name."""
    last = line[-1]
    return last in ".!?" or (last > "\x7f" and _SENTENCE_TERMINAL.match(last) is not None)
