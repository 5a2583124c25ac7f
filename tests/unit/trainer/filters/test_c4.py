import pytest

from pretrain_api.types.data import C4Quality
from pretrain_trainer.filters import c4

FIVE = "\n".join(f"Sentence number {word} stands here." for word in ("one", "two", "three", "four", "five"))


def apply(text: str, **rules: object) -> tuple[str, str | None]:
    return c4.apply(text, C4Quality.model_validate(rules))


def test_lines_of_sentences_pass_unchanged() -> None:
    assert apply(FIVE) == (FIVE, None)


@pytest.mark.parametrize(
    "line",
    [
        "Home | About | Contact us",
        "A line that trails off...",
        "Two words.",
        "Please enable Javascript to see this page.",
        "Read our Privacy Policy before you go on.",
        f"A word of {'x' * 1001} characters stands here.",
    ],
)
def test_a_bad_line_is_dropped_and_the_document_stays(line: str) -> None:
    assert apply(f"{line}\n{FIVE}") == (FIVE, None)


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("Home | About | Contact us", {"terminalPunctuation": "ignored"}),
        ("Please enable Javascript to see this page.", {"javascript": "ignored"}),
        ("Read our Privacy Policy before you go on.", {"policy": "ignored"}),
        ("Two words.", {"minWordsPerLine": 2}),
        (f"A word of {'x' * 1001} characters stands here.", {"maxWordLength": 0}),
    ],
)
def test_a_rule_that_is_switched_off_keeps_the_line(line: str, rules: dict[str, object]) -> None:
    assert apply(f"{line}\n{FIVE}", **rules) == (f"{line}\n{FIVE}", None)


def test_documents_are_refused_for_what_they_contain() -> None:
    assert apply(f"{FIVE}\nThis is Lorem Ipsum dolor sit amet.")[1] == "c4.loremIpsum"
    assert apply(f"{FIVE}\nThis is {{ a template }} line.")[1] == "c4.curlyBracket"
    assert apply(f"{FIVE}\nThis is {{ a template }} line.", curlyBracket="ignored")[1] is None


def test_too_few_sentences_are_counted_on_the_lines_that_are_left() -> None:
    four = FIVE.rsplit("\n", 1)[0]
    assert apply(four)[1] == "c4.minSentences"
    assert apply(f"{four}\nA fifth without its end")[1] == "c4.minSentences"
    assert apply(four, minSentences=4) == (four, None)
    assert apply("", minSentences=0)[1] == "c4.minSentences"


def test_citations_are_taken_out() -> None:
    assert apply(FIVE.replace("one", "one[12]").replace("two", "two [citation needed]"))[0] == FIVE.replace(
        "two", "two "
    )


@pytest.mark.parametrize(
    ("line", "count"),
    [("", 0), ("No end", 1), ("One. Two? Three!", 3), ("He said \"no.\" Then left.", 2), ("It costs 3.50 now.", 1), ("Wait... what?", 2)],
)  # fmt: skip
def test_sentences_in_a_line(line: str, count: int) -> None:
    assert c4.sentences(line) == count
