"""What a stage's log tells: the last lines of an attempt, and which rank torchrun says failed first."""

import re
from dataclasses import dataclass
from pathlib import Path

_TAIL_BYTES = 64 * 1024
_LAST_LINES = 20
_ROOT_CAUSE = re.compile(
    r"Root Cause \(first observed failure\):.*?\n\s*rank\s*:\s*(\d+).*?\n\s*exitcode\s*:\s*(-?\d+)", re.DOTALL
)
"""The last part of what torchrun prints when a rank fails."""


@dataclass(frozen=True)
class RootCause:
    """The rank that failed first, and its exit code; negative is minus a signal."""

    rank: int
    exit_code: int


def tail(path: Path, begin: int) -> str:
    """The end of what a log holds from byte `begin` on."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(begin, size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_lines(text: str) -> str:
    """The last lines for a message, without torchrun's own summary, which comes after what matters."""
    before, _, _ = text.partition("torch/distributed/elastic/multiprocessing/api.py")
    lines = [line for line in (before or text).splitlines() if line.strip()]
    return "\n".join(lines[-_LAST_LINES:])


def root_cause(text: str) -> RootCause | None:
    """What torchrun says failed first; None when the text holds no such summary."""
    match = _ROOT_CAUSE.search(text)
    return RootCause(int(match[1]), int(match[2])) if match else None
