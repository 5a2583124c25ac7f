"""The end of a stage's log."""

from pathlib import Path

_TAIL_BYTES = 64 * 1024


def tail(path: Path, begin: int) -> str:
    """The end of what a log holds from byte `begin` on."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(begin, size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
