import pytest

from pretrain_api.nouns import counted, noun


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 documents"), (1, "1 document"), (2, "2 documents"), (12_345, "12,345 documents")]
)
def test_the_noun_follows_the_number(number: int, expected: str) -> None:
    assert counted(number, "document") == expected


def test_a_noun_whose_plural_is_another_word() -> None:
    assert (noun(1, "entry", "entries"), noun(3, "entry", "entries")) == ("entry", "entries")
