"""The first moment of a program, before anything large is imported: a SIGTERM that comes now is remembered; and the last.

Process 1 of a container does not get signals that it has no handler for: the pod would work on until it is killed.
"""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

_USUAL, _RARE = gc.get_threshold(), (50_000, 20, 100)
"""How many objects are made until the garbage collector passes, and how often through those that stayed."""

_asked: list[int] = []
_is_alone = False
"""Whether this process is one program from its beginning to its end."""


def listen() -> None:
    """Remember SIGTERM and SIGINT from here on, until somebody else handles them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _remember)


def run(main: Callable[[], int]) -> NoReturn:
    """Be a program that imports PyTorch and is not used for long. What is imported stays: passes of the garbage collector
    through it take a seventh of the time until it is there, and to take all of it apart at the end takes as long again."""
    global _is_alone
    _is_alone = True
    gc.set_threshold(*_RARE)
    try:
        code = main()
    except SystemExit as left:  # of argparse, which ends with numbers
        code = int(left.code or 0)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def do_without(*packages: str) -> None:
    """Import none of these, which libraries import where they find them. A process that others use too is left as it is."""
    if _is_alone:
        for package in packages:
            # None is how Python is told that a module is not there, which the types of its library do not know.
            sys.modules.setdefault(package, None)  # type: ignore[arg-type]


def collect_as_usual() -> None:
    """All is imported, and the work that follows may be long."""
    gc.set_threshold(*_USUAL)


def was_asked_to_stop() -> bool:
    return bool(_asked)


def _remember(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
