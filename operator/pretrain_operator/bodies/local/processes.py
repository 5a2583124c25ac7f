"""Processes of this machine: start one that dies with us, tell it from a later one with its number, end a whole tree.

Linux only: /proc, pidfd and the parent-death signal.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pretrain_api import child
from pretrain_api.process_tree import tree


@dataclass(frozen=True)
class ProcessIdentity:
    """A process beyond its number, which the kernel gives out again: number, start and boot."""

    pid: int
    start_ticks: int
    boot: str

    @property
    def alive(self) -> bool:
        return identity(self.pid) == self


def identity(pid: int) -> ProcessIdentity | None:
    """The process that has this number now; None when there is none or it has only to be reaped."""
    try:
        state, ticks = _stat(pid)[0], int(_stat(pid)[19])
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, IndexError):
        return None
    return None if state in ("Z", "X") else ProcessIdentity(pid, ticks, boot)


def start(
    program: Sequence[str], environment: Mapping[str, str], log: IO[bytes], inherited: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own that the kernel kills when this process ends. It keeps the `inherited`
    descriptors.

    Call it from the main thread: the kernel watches the thread that starts the child, not the process. The session
    keeps a terminal's Ctrl-C away from the child; the body decides what it means.
    """
    own = [sys.executable, "-I", "-S", child.__file__, str(os.getpid())]
    return subprocess.Popen(
        [*own, *program],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=inherited,
    )


def end(found: ProcessIdentity, timeout_seconds: float = 10.0) -> None:
    """Kill a process and everything below it, and wait until it is gone or only has to be reaped."""
    if not found.alive:
        return
    for number in tree(found.pid):
        with contextlib.suppress(ProcessLookupError):
            _end_one(number, timeout_seconds)


def _end_one(pid: int, timeout_seconds: float) -> None:
    handle = os.pidfd_open(pid)  # a handle cannot come to mean another process
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], timeout_seconds)
    finally:
        os.close(handle)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on; the second, the name, may hold anything and is skipped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
