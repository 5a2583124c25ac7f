"""The end of a program's log, for a message."""

import re

_LAST_LINES = 20
_HEADING = re.compile(r"--- .*, attempt [0-9]+(,|$)")


def heading(what: str, attempt: int, when: str = "") -> str:
    """A line behind which another attempt writes into the same log."""
    return f"--- {what}, attempt {attempt}" + (f", {when}" if when else "")


def last_lines(text: str) -> str:
    """The last lines of the newest attempt that hold anything: what an attempt before it ended with is not why it did."""
    lines = [line for line in text.splitlines() if line.strip()]
    begin = max((number for number, line in enumerate(lines, 1) if _HEADING.match(line)), default=0)
    return "\n".join(lines[begin:][-_LAST_LINES:])
