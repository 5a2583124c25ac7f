import pytest

from pretrain_api.types.data import Language
from pretrain_trainer.filters.language import SLICE_CHARACTERS, LanguageFilter, sample

ENGLISH = "The quick brown fox jumps over the lazy dog while the sun is shining on the old house."
FRENCH = "Le chat dort sur le canapé pendant que la pluie tombe doucement sur les toits de la ville."


@pytest.fixture(scope="module")
def english() -> LanguageFilter:
    return LanguageFilter(Language())


def test_a_language_to_keep_passes(english: LanguageFilter) -> None:
    assert english.refuses(ENGLISH) is None
    assert english.refuses(ENGLISH.replace(" ", "\n")) is None


def test_another_language_is_named(english: LanguageFilter) -> None:
    assert english.refuses(FRENCH) == "fr"
    assert LanguageFilter(Language(keep=["fr", "de"])).refuses(FRENCH) is None


def test_an_uncertain_text_is_refused_although_its_language_is_kept() -> None:
    sure = LanguageFilter(Language(threshold=1.0))
    assert sure.refuses("ok 123 abc") is not None


def test_a_long_text_is_judged_by_its_beginning_middle_and_end() -> None:
    text = "a" * 10_000 + "b" * 10_000 + "c" * 10_000
    assert sample(text) == " ".join(letter * SLICE_CHARACTERS for letter in "abc")
    assert sample("short\ntext") == "short\ntext"
