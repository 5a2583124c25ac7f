"""Processes below a process of this machine, as /proc tells of them. Linux only."""

import contextlib
import os
from pathlib import Path


def tree(pid: int) -> list[int]:
    """A process and everything below it, parents first."""
    found = [pid]
    for number in found:
        found += _children(number)
    return found


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += [int(n) for n in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
    return found
