"""What a rank is doing, told by the rank itself, even while it hangs in a call: its stack, on a signal."""

from __future__ import annotations

import faulthandler
import os
import re
import select
import signal
import time
from collections.abc import Sequence
from pathlib import PurePath

SIGNAL = signal.SIGUSR1
_MOST_BYTES = 1 << 18
_ANSWER_SECONDS = 0.5
"""How long ranks may take to write. One that needs longer does not run."""
_LOOK_SECONDS, _WRITE_SECONDS = 0.02, 0.05
"""Between two looks whether they have begun, and until they have ended."""
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)


class Stack:
    """Memory that a rank writes its stack to. Made by the agent, which reads it; both use one file position."""

    def __init__(self, local: int) -> None:
        self._descriptor = os.memfd_create(f"stack {local}")

    def answer(self) -> None:
        """In the rank: write the stacks of all threads here whenever the signal comes. The handler needs neither the
        interpreter nor its lock."""
        faulthandler.register(SIGNAL, file=self._descriptor, all_threads=True)

    def clear(self) -> None:
        """Forget what was written before."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)

    def read(self) -> str:
        """What was written since; empty while the rank does not run."""
        return os.pread(self._descriptor, _MOST_BYTES, 0).decode(errors="replace")


def wait_for(stacks: Sequence[Stack]) -> None:
    """Until all have written, or have had the time to."""
    until = time.monotonic() + _ANSWER_SECONDS
    while not all(stack.read() for stack in stacks) and time.monotonic() < until:
        select.select([], [], [], _LOOK_SECONDS)
    select.select([], [], [], _WRITE_SECONDS)


def innermost(stack: str) -> str:
    """Where the thread is that took the signal, which is the main one: `loop.py:205 in _step`; "?" where there is no such
    place. Empty for an empty stack."""
    if not stack:
        return ""
    _, _, current = stack.rpartition("Current thread")
    found = _FRAME.search(current)
    return f"{PurePath(found['file']).name}:{found['line']} in {found['function']}" if found else "?"
