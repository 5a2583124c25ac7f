import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.filters import words
from pretrain_trainer.filters.words import Words, ngrams, normalise


def tokens(text: str) -> list[str]:
    split = Words(text)
    return [split.unique[place] for place in split.ids]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hello, world!", ["Hello", ",", "world", "!"]),
        ("don't 3.14 a@b.c", ["don", "'t", "3.14", "a@b.c"]),
        ("wait... (see http://a.b/c?d=1) --", ["wait", "...", "(", "see", "http://a.b/c?d=1)", "--"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("snake_case #1", ["snake_case", "#", "1"]),
    ],
)
def test_text_is_split_like_a_tokenizer_does(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_words_and_letters_are_told_from_punctuation() -> None:
    split = Words("one, 2 _ x1 ...")
    assert split.is_word.tolist() == [True, False, True, False, True, False]
    assert split.is_alphabetic.tolist() == [True, False, False, False, True, False]
    assert split.lengths.tolist() == [3, 1, 1, 1, 2, 3]


def test_a_long_text_is_split_in_slices_with_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"word{n}" for n in range(500))
    whole = tokens(text)
    monkeypatch.setattr(words, "_SLICE_CHARACTERS", 320)
    assert tokens(text) == whole


def test_case_accents_numbers_and_punctuation_do_not_matter_for_normal_hashes() -> None:
    one, other = Words("Café, 1234 times!").normal_hashes, Words("cafe 77 TIMES").normal_hashes
    assert one.tolist() == other.tolist()
    assert normalise("Ärger") == "arger"
    assert normalise("--") == ""


@given(st.text(max_size=60), st.integers(1, 6))
def test_ngrams_are_equal_exactly_where_the_words_are(text: str, n: int) -> None:
    split = Words(text)
    runs = [tuple(split.ids[i : i + n]) for i in range(len(split) - n + 1)]
    hashes = ngrams(split.local_hashes, n).tolist()
    assert len(hashes) == len(runs)
    assert len(set(hashes)) == len(set(runs))


def test_hashes_never_change_between_versions() -> None:
    """Keys of deduplication are kept in storage across versions; a change needs a new version of the stage."""
    assert ngrams(Words("the quick brown fox").normal_hashes, 2).tolist() == [
        9484889266626325192,
        4337023499110847123,
        9295872971616691865,
    ]


def test_normalising_is_stable_under_unicode_forms() -> None:
    assert normalise(unicodedata.normalize("NFD", "é")) == normalise(unicodedata.normalize("NFC", "é"))


def test_an_empty_text_has_no_ngrams() -> None:
    assert ngrams(np.empty(0, np.uint64), 3).tolist() == []
