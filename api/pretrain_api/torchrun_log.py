"""What a training's log tells of its end: the last lines of its own, and which rank torchrun says failed first."""

import itertools
import re
import signal
from dataclasses import dataclass

_LAST_LINES = 20
_TORCHRUN = "torch/distributed/elastic/multiprocessing/"
"""In the lines that torchrun itself logs when a rank ends."""
_SUMMARY = "Root Cause (first observed failure):"
_FAILED_RANK = re.compile(r"\n\s*rank\s*:\s*(\d+).*?\n\s*exitcode\s*:\s*(-?\d+)", re.DOTALL)
"""A rank in what torchrun prints when ranks fail; the one that it saw first stands last, below the summary's head."""


@dataclass(frozen=True)
class RootCause:
    """The rank that failed first, and its exit code; negative is minus a signal."""

    rank: int
    exit_code: int


def last_lines(text: str) -> str:
    """The last lines for a message, without torchrun's own summary, which comes after what matters."""
    lines = [line for line in text.splitlines() if line.strip()]
    own = list(itertools.takewhile(lambda line: _TORCHRUN not in line, lines))
    return "\n".join((own or lines)[-_LAST_LINES:])


def root_cause(text: str) -> RootCause | None:
    """The rank that torchrun saw fail first; None when the text holds no such summary.

    A killed rank goes before others: theirs is the error that the lost connection gave them, seen in the same moment.
    """
    if _SUMMARY not in text:
        return None
    failed = [RootCause(int(rank), int(code)) for rank, code in _FAILED_RANK.findall(text)]
    killed = [f for f in failed if f.exit_code < 0 and f.exit_code != -signal.SIGTERM]  # SIGTERM: by torchrun itself
    return (killed or failed)[-1] if failed else None
