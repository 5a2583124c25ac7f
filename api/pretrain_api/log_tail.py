"""The end of a program's log, for a message."""

_LAST_LINES = 20


def last_lines(text: str) -> str:
    """The last lines that hold anything."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-_LAST_LINES:])
