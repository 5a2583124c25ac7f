"""Ranks as forks of this process: what it has imported they need not import again.

A rank that is started anew after a death begins in milliseconds this way; a new interpreter would spend seconds of
CPU time on importing PyTorch and transformers. Forking is safe as long as this process has no thread of its own and has
never touched an accelerator.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pretrain_api.errors import EXIT_FAILURE
from pretrain_trainer.agent import stacks
from pretrain_trainer.process import HEEDED, named


@dataclass(frozen=True)
class Ended:
    """The end of a rank."""

    rank: int
    code: int
    """Exit code; negative is minus the signal that ended it."""
    by_us: bool = False
    """Whether the agent ended it."""


class Ranks:
    """The ranks of one attempt on this machine."""

    def __init__(self) -> None:
        self._alive: dict[int, tuple[int, int]] = {}
        """Rank and process number by the process's handle."""
        self._killed: set[int] = set()

    def start(
        self, rank: int, environment: Mapping[str, str], program: Callable[[], int], not_its: Sequence[int] = ()
    ) -> None:
        """Fork a rank that runs the program and ends with what it returns. `not_its`: descriptors that it must not keep.

        Signals that ask it to stop are held back until the program has set up what to do about them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
        try:
            pid = os.fork()
            if pid == 0:
                _become(rank, environment, program, [*self._alive, *not_its])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        self._alive[os.pidfd_open(pid)] = rank, pid

    @property
    def are_alive(self) -> bool:
        return bool(self._alive)

    def ask_to_stop(self) -> None:
        """SIGTERM to all: they agree on a step, save and leave."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End what still runs."""
        self._killed |= {rank for rank, _ in self._alive.values()}
        self._send(signal.SIGKILL)

    def ask_for_stacks(self) -> None:
        """They write what they are doing."""
        self._send(stacks.SIGNAL)

    def wait(self, seconds: float | None, others: Sequence[int] = ()) -> list[Ended]:
        """The ranks that have ended, once one has, one of the other descriptors is readable or the time is over."""
        ready, _, _ = select.select([*self._alive, *others], [], [], seconds)
        ended = []
        for handle in [each for each in ready if each in self._alive]:
            rank, pid = self._alive.pop(handle)
            os.close(handle)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            ended.append(Ended(rank, code, by_us=code == -signal.SIGKILL and rank in self._killed))
        return ended

    def wait_for_all(self, seconds: float) -> list[Ended]:
        """Wait so long for the rest to end by itself, then end it; how each ended."""
        until, ended = time.monotonic() + seconds, []
        while self._alive:
            left = until - time.monotonic()
            if left <= 0:
                self.kill()
            ended += self.wait(left if left > 0 else None)
        return ended

    def _send(self, number: signal.Signals) -> None:
        for handle in self._alive:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)


def _become(rank: int, environment: Mapping[str, str], program: Callable[[], int], not_its: Sequence[int]) -> None:
    """In the child: be the rank, and never come back."""
    code = EXIT_FAILURE
    try:
        signal.set_wakeup_fd(-1)
        for descriptor in not_its:
            os.close(descriptor)
        os.environ.update(environment)
        named(f"rank {rank}")
        code = program()
    except BaseException:  # noqa: BLE001 - the border of the process
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # not through the agent's frames and exit handlers, which are not this process's
