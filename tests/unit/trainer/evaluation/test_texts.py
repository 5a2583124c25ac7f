"""Openings of documents as prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.evaluation.texts import opening


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  \n ", ""),
        ("short text", "short text"),
        ("word " * 40, "word " * 14 + "word"),
        ("x" * 200, "x" * 80),
        ("a " + "x" * 200, "a " + "x" * 78),
    ],
)
def test_is_cut_between_words_where_that_leaves_enough(text: str, expected: str) -> None:
    assert opening(text) == expected


@given(text=st.text(max_size=300))
def test_is_a_beginning_of_the_text(text: str) -> None:
    assert text.strip().startswith(opening(text))
    assert len(opening(text)) <= 80
