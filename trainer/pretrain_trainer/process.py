"""How a process of a stage lives and dies: with its parent, and gracefully when asked."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
from types import FrameType

from pretrain_api.child import ENV_PROGRAM
from pretrain_api.errors import EXIT_FAILURE
from pretrain_api.process_tree import tree

HEEDED = (signal.SIGTERM, signal.SIGINT)
"""Signals that ask a program to stop."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, so that a killed run leaves no orphans behind.

    The kernel watches the parent's thread that started us; bodies start stage programs from their main thread. A parent
    that ended before we asked is not told of by the kernel, so this process ends by itself.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if is_orphan():
        os._exit(EXIT_FAILURE)


def is_orphan() -> bool:
    """Whether whoever started this process, a pool or the program of a body, has ended; False where neither did."""
    pool = multiprocessing.parent_process()
    if pool is not None:
        return os.getppid() != pool.pid
    return int(os.environ.get(ENV_PROGRAM, "0")) not in (0, os.getpid(), os.getppid())


def adopt_orphans() -> None:
    """Become the parent of processes below this one whose own parent ends, as process 1 of a container is anyway."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def leave_signals_to_parent() -> None:
    """For pool children: the parent decides when to stop, and they die with it."""
    die_with_parent()
    for number in HEEDED:
        signal.signal(number, signal.SIG_IGN)


def named(name: str) -> None:
    """Give this process a name of up to 15 bytes, which `top` and `ps -o comm` show."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets, one that was held back until now included; a second one ends the
    process at once."""
    stopping = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    for number in HEEDED:
        signal.signal(number, on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
    return stopping


def heed_no_more_signals() -> None:
    """From here on nothing interrupts the last words of a process that was asked to stop."""
    for number in HEEDED:
        signal.signal(number, signal.SIG_IGN)


def end_leftovers() -> None:
    """Kill everything below this process, orphans that it adopted included."""
    for pid in tree(os.getpid())[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
