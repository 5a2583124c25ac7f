"""The compressors against the standard library's one-call functions."""

import gzip
import lzma
import random

from pretrain_trainer.evaluation.compressors import gzip_bits, xz_bits

WORDS = ["for", "the", "sake", "of", "a", "text", "that", "repeats", "itself", "here", "and", "there"]
CHOICES = random.Random(7)
DOCUMENTS = [" ".join(CHOICES.choices(WORDS, k=200)).encode() for _ in range(20)]
TEXT = b"".join(DOCUMENTS)


def test_gzip_is_one_stream_at_level_9() -> None:
    assert gzip_bits(DOCUMENTS) == 8 * len(gzip.compress(TEXT, 9))


def test_xz_is_one_stream_at_preset_9_extreme() -> None:
    expected = 8 * len(lzma.compress(TEXT, preset=9 | lzma.PRESET_EXTREME))
    assert xz_bits(DOCUMENTS, len(TEXT)) == expected


def test_no_text_costs_the_empty_container() -> None:
    assert gzip_bits([]) == 8 * len(gzip.compress(b"", 9))
    assert xz_bits([], 0) == 8 * len(lzma.compress(b"", preset=9))
