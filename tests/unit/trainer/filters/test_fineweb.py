from pretrain_api.types.data import FineWebQuality
from pretrain_trainer.filters import fineweb
from pretrain_trainer.filters.words import Words

LONG = "A line of more than thirty characters number {}"


def quality(text: str, **rules: float) -> str | None:
    return fineweb.quality(text, Words(text), FineWebQuality(**rules))


def test_lines_that_end_with_punctuation() -> None:
    lines = [LONG.format(n) for n in range(8)]
    assert quality("\n".join(lines)) == "fineweb.minLinePunctuationRatio"
    assert quality("\n".join([*lines[1:], lines[0] + "."])) is None  # 1 of 8 is 0.125
    assert quality("\n".join([*lines[1:], lines[0] + "。"])) is None
    assert quality("\n".join([*lines[1:], lines[0] + ","])) == "fineweb.minLinePunctuationRatio"


def test_short_lines() -> None:
    lines = ["Short one.", "Short two.", LONG.format(1) + "."]
    assert quality("\n".join(lines)) is None  # 2 of 3 is 0.667
    assert quality("\n".join([*lines, "Short three."])) == "fineweb.maxShortLineRatio"
    assert quality("\n".join([*lines, "Short three."]), short_line_length=5) is None


def test_characters_in_repeated_lines() -> None:
    text = "\n".join([LONG.format(1) + "."] * 2)
    assert quality(text) == "fineweb.maxDuplicateLineCharacterRatio"
    assert quality(text, max_duplicate_line_character_ratio=0.5) is None


def test_line_breaks_per_word() -> None:
    text = "Supercalifragilisticexpialidocious.\nPneumonoultramicroscopicsilico."
    assert quality(text) is None  # 1 break, 4 tokens: 0.25
    assert quality(text.replace(".\n", "\n\n")) == "fineweb.maxNewlineWordRatio"  # 2 breaks, 3 tokens


def test_a_text_without_lines_is_refused() -> None:
    assert quality(" \n ") == "fineweb.minLinePunctuationRatio"
