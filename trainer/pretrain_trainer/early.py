"""The first moment of a program, before anything large is imported: a SIGTERM that comes now is remembered.

Process 1 of a container does not get signals that it has no handler for: the pod would work on until it is killed.
"""

import signal
from types import FrameType

_asked: list[int] = []


def listen() -> None:
    """Remember SIGTERM and SIGINT from here on, until somebody else handles them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _remember)


def was_asked_to_stop() -> bool:
    return bool(_asked)


def _remember(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
