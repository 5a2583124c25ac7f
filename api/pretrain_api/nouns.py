"""Nouns after a number, for messages: 1 document, 2 documents."""


def noun(number: float, one: str, several: str = "") -> str:
    """The noun for so many; `several` where it is not `one` with an s."""
    return one if number == 1 else several or f"{one}s"


def counted(number: int, one: str, several: str = "") -> str:
    """The number, written with commas, and its noun."""
    return f"{number:,} {noun(number, one, several)}"
