import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pretrain_api.types.data import GopherQuality, GopherRepetition
from pretrain_trainer.filters import gopher
from pretrain_trainer.filters.words import Words

PROSE = "the people of that town have walked with care and they were glad to be there again"


def quality(text: str, **rules: float) -> str | None:
    return gopher.quality(text, Words(text), GopherQuality(**{"min_words": 1, **rules}))


def repetition(text: str, **rules: object) -> str | None:
    return gopher.repetition(text, Words(text), GopherRepetition.model_validate(rules))


class TestQuality:
    def test_prose_passes(self) -> None:
        assert quality(PROSE) is None

    def test_words_are_counted_without_punctuation(self) -> None:
        text = "one, two, three."
        assert quality(text, min_words=4) == "gopherQuality.minWords"
        assert quality(text, min_words=3, min_stop_words=0, min_alphabetic_word_ratio=0) is None
        assert quality(text, max_words=2) == "gopherQuality.maxWords"

    def test_mean_word_length(self) -> None:
        assert quality("ab ab abcd") == "gopherQuality.minMeanWordLength"  # 8/3
        assert quality("abcdefghijkl abcdefghij") == "gopherQuality.maxMeanWordLength"  # 11
        assert quality("abcdefghij the be abcd", max_mean_word_length=5) is None  # 19/4

    def test_hashes_and_ellipses_per_word(self) -> None:
        nine = " ".join(["the", "people", "have"] * 3)
        assert quality(f"{nine} #", min_alphabetic_word_ratio=0) is None  # 1/10
        assert quality(f"{nine} # #", min_alphabetic_word_ratio=0) == "gopherQuality.maxSymbolWordRatio"  # 2/11
        assert quality(f"{nine} … ...", min_alphabetic_word_ratio=0) == "gopherQuality.maxSymbolWordRatio"

    def test_lines_that_are_bullets(self) -> None:
        lines = ["- the people of that town"] * 9
        assert quality("\n".join([*lines, "they have walked"])) is None  # 9 of 10
        assert quality("\n".join(lines)) == "gopherQuality.maxBulletLineRatio"
        assert quality("\n".join(["  • the people of that town"] * 3)) == "gopherQuality.maxBulletLineRatio"

    def test_lines_that_end_with_an_ellipsis(self) -> None:
        plain = ["the people of that town have walked there with care again and again and again"] * 2
        assert quality("\n".join([*plain, plain[0] + "..."])) == "gopherQuality.maxEllipsisLineRatio"
        assert quality("\n".join([*plain * 2, plain[0] + "…"])) is None

    def test_words_with_a_letter(self) -> None:
        assert quality("the people of that 1234") is None  # 4 of 5
        assert quality("the people of that 123 456") == "gopherQuality.minAlphabeticWordRatio"

    def test_stop_words_are_distinct_ones(self) -> None:
        assert quality("the the the people walked") == "gopherQuality.minStopWords"
        assert quality("the people of walked") is None

    def test_a_text_without_words_is_short(self) -> None:
        assert quality("...") == "gopherQuality.minWords"


class TestRepetition:
    def test_prose_passes(self) -> None:
        assert (
            repetition(f"{PROSE}, and later some others came down from the hills to see what had become of it") is None
        )

    def test_repeated_lines_and_their_characters(self) -> None:
        lines = ["alpha beta gamma delta", "one two three four five six seven", "red green blue yellow"]
        ngrams: dict[str, object] = {
            "maxTopNgramCharacterRatios": [1, 1, 1],
            "maxDuplicateNgramCharacterRatios": [1] * 6,
        }
        text = "\n".join([*lines, lines[0], lines[2]])
        assert repetition(text, **ngrams) == "gopherRepetition.maxDuplicateLineRatio"  # 2 of 5
        characters = "gopherRepetition.maxDuplicateLineCharacterRatio"  # 43 of 123
        assert repetition(text, maxDuplicateLineRatio=0.4, **ngrams) == characters

    def test_repeated_paragraphs_and_their_characters(self) -> None:
        rest: dict[str, object] = {"maxDuplicateLineRatio": 1, "maxDuplicateLineCharacterRatio": 1}
        rest |= {"maxTopNgramCharacterRatios": [1, 1, 1], "maxDuplicateNgramCharacterRatios": [1] * 6}
        text = "\n\n".join(["one two three", "four five six", "one two three"])
        assert repetition(text, **rest) == "gopherRepetition.maxDuplicateParagraphRatio"  # 1 of 3
        characters = "gopherRepetition.maxDuplicateParagraphCharacterRatio"  # 13 of 43
        assert repetition(text, maxDuplicateParagraphRatio=0.5, **rest) == characters

    def test_the_most_frequent_ngram(self) -> None:
        # "a b" twice, 3 characters each, in 23 characters: 0.26 above 0.20
        assert repetition("a b ccccc a b ddddd eee") == "gopherRepetition.maxTopNgramCharacterRatios[0]"
        assert repetition("a b ccccc a b ddddd eee", maxTopNgramCharacterRatios=[0.27, 1, 1]) is None

    def test_repeated_ngrams_are_not_counted_twice(self) -> None:
        rest: dict[str, object] = {"maxTopNgramCharacterRatios": [1, 1, 1]}
        text = "aa bb cc dd ee ff aa bb cc dd ee ff"  # one 5-gram of 10 characters repeats, the next overlaps it
        assert repetition(text, **rest, maxDuplicateNgramCharacterRatios=[10 / 35] * 6) == (
            "gopherRepetition.maxDuplicateNgramCharacterRatios[1]"  # the 6-gram: 12 of 35
        )
        bound = [10 / 35 - 0.001] * 6
        assert repetition(text, **rest, maxDuplicateNgramCharacterRatios=bound) == (
            "gopherRepetition.maxDuplicateNgramCharacterRatios[0]"
        )

    @given(st.lists(st.sampled_from(["a", "b", "c", "dd", "ee"]), max_size=40), st.integers(5, 10))
    def test_the_fast_bound_never_hides_a_repetition(self, words: list[str], n: int) -> None:
        text = " ".join(words)
        seen, characters, index = set(), 0, 0
        while index + n <= len(words):
            run = tuple(words[index : index + n])
            characters += len("".join(run)) if run in seen else 0
            index += n if run in seen else 1
            seen.add(run)
        ratios = [1.0] * 6
        ratios[n - 5] = 0.1
        lines = ("Line", "LineCharacter", "Paragraph", "ParagraphCharacter")
        rules: dict[str, object] = {f"maxDuplicate{kind}Ratio": 1 for kind in lines}
        refused = repetition(
            text, **rules, maxTopNgramCharacterRatios=[1, 1, 1], maxDuplicateNgramCharacterRatios=ratios
        )
        assume(not refused or "Top" not in refused)  # overlapping n-grams can cover more than all characters
        assert (refused is not None) == (characters > 0.1 * max(len(text), 1))


@pytest.mark.parametrize(
    ("pieces", "expected"), [([], (0, 0)), (["a", "b"], (0, 0)), (["ab", "c", "ab", "ab"], (2, 4))]
)
def test_repeats_count_all_but_the_first(pieces: list[str], expected: tuple[int, int]) -> None:
    assert gopher.repeats(pieces) == expected
