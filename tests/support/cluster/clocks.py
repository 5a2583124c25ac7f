"""A clock of its own for a node's containers: https://github.com/wolfcw/libfaketime, loaded before each program in them.

The kernel has one clock for all nodes, so containers are given theirs as they are created, by a program in the place of runc;
those that are there already keep the kernel's. Kubelet and containerd are Go programs, which no library reaches.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.cluster import clocked, programs

if TYPE_CHECKING:
    from support.cluster.node import Node

_RUNC = """#!/bin/sh
case " $* " in *" create "*) if [ -e {clock}/wanted ]; then {python} -I {script} {clock} "$@"; fi ;; esac
exec runc "$@"
"""


def write_runc(folder: Path) -> Path:
    """The program that a node's containerd takes for runc."""
    path = folder / "runc"
    path.write_text(_RUNC.format(clock=folder / "clock", python=sys.executable, script=clocked.__file__))
    path.chmod(0o755)
    return path


@contextmanager
def of_their_own(nodes: Sequence[Node], *ahead: int) -> Iterator[None]:
    """What is created on these nodes while the block runs has their clocks: so many seconds ahead of the right time, one by one."""
    for node, seconds in zip(nodes, ahead, strict=True):
        provide(node.folder)
        set_ahead(node.folder, seconds)
    try:
        yield
    finally:
        for node in nodes:
            withdraw(node.folder)


def provide(folder: Path) -> None:
    """From now on, what is created on the node has the node's clock, which is right for now."""
    clock = folder / "clock"
    clock.mkdir(exist_ok=True)
    shutil.copy(programs.find("libfaketime"), clock / clocked.LIBRARY)
    set_ahead(folder, 0)
    (clock / "wanted").touch()


def set_ahead(folder: Path, seconds: int) -> None:
    """Set the node's clock; programs notice within a second."""
    scratch = folder / "clock" / "scratch"
    scratch.write_text(f"{seconds:+d}\n")
    scratch.rename(scratch.with_name(clocked.TIME))


def withdraw(folder: Path) -> None:
    """What is created from now on has the kernel's clock. What has the node's keeps it, set right."""
    set_ahead(folder, 0)
    (folder / "clock" / "wanted").unlink()
