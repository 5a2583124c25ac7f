"""Cutting a long document where its tokens do not notice, because the tokenizer needs some hundred bytes for each byte.

Cuts are made before a single white space between two other characters, and only where the surroundings have the same tokens
cut and whole. Tokenizers decide from a few neighbouring characters, so the document has, too; with one that does not
(because it marks the start of each text, for example) no place passes and the document stays whole.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise

SEGMENT_CHARACTERS = 1 << 18
"""Length of a segment; documents up to twice as long are not cut."""
_SURROUNDINGS = 128
"""Characters before and behind a place that are compared."""
_CANDIDATES = 32
"""Places that are tried before the segment is left to grow."""
_PLACE = re.compile(r"\S(?=\s\S)")


def segments(text: str, tokens_of: Callable[[str], Sequence[int]]) -> Iterator[str]:
    """Parts of the text whose tokens, one after the other, are the text's."""
    places, wanted = [0], SEGMENT_CHARACTERS
    while len(text) - wanted >= SEGMENT_CHARACTERS:
        candidates = (match.end() for match in islice(_PLACE.finditer(text, wanted), _CANDIDATES))
        place = next((place for place in candidates if _is_separable(text, place, tokens_of)), None)
        if place is not None:
            places.append(place)
        wanted = (wanted if place is None else place) + SEGMENT_CHARACTERS
    for begin, end in pairwise([*places, len(text)]):
        yield text[begin:end]


def _is_separable(text: str, place: int, tokens_of: Callable[[str], Sequence[int]]) -> bool:
    before, behind = text[max(0, place - _SURROUNDINGS) : place], text[place : place + _SURROUNDINGS]
    return list(tokens_of(before + behind)) == [*tokens_of(before), *tokens_of(behind)]
