"""Programs of the trainer as forks of one process that has imported what they need.

A test process that starts fifty trainings would spend ten minutes of CPU time on importing PyTorch. What runs is the
programs' own `main`, in a process and a session of its own, with the given environment and log.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_MOST_DESCRIPTORS = 4


class Forked:
    """A program, with what of `subprocess.Popen` the tests use."""

    def __init__(self, pid: int, handle: int, ends: _Ends) -> None:
        self.pid, self._handle, self._ends = pid, handle, ends
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended."""
        if self.returncode is None:
            if not select.select([self._handle], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a fork", timeout or 0)
            self.returncode = self._ends.of(self.pid)
            os.close(self._handle)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Ends:
    """How programs ended, as the process that forked them tells."""

    def __init__(self, told: socket.socket) -> None:
        self._told, self._codes, self._lock = told.makefile("r"), {}, threading.Lock()

    def of(self, pid: int) -> int:
        with self._lock:
            while pid not in self._codes:
                end = json.loads(self._told.readline())
                self._codes[end["pid"]] = end["code"]
            return self._codes.pop(pid)


def start(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes], inherited: Sequence[int] = ()
) -> Forked:
    """Run `main(arguments)` of a module of the trainer, as `python -m` would. `inherited`: descriptors that it keeps; an
    argument "{0}" is the first one's number there."""
    asking, ends = _zygote()
    request = {"module": module, "arguments": list(arguments), "environment": dict(environment)}
    content = json.dumps(request).encode()
    descriptors = array.array("i", [log.fileno(), *inherited])
    asking.sendmsg([len(content).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    asking.sendall(content)
    pid = int.from_bytes(asking.recv(4), "big")
    return Forked(pid, os.pidfd_open(pid), ends)


@functools.cache
def _zygote() -> tuple[socket.socket, _Ends]:
    """This process's own; it ends when this process does."""
    (asking, asked), (hearing, telling) = socket.socketpair(), socket.socketpair()
    command = [sys.executable, "-m", "support.zygote", str(asked.fileno()), str(telling.fileno())]
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    # OMP_NUM_THREADS counts when PyTorch is loaded, so it cannot be each program's own.
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, pass_fds=(asked.fileno(), telling.fileno()), env=environment)
    for theirs in (asked, telling):
        theirs.close()
    atexit.register(process.kill)
    return asking, _Ends(hearing)


def _serve(asked: socket.socket, telling: socket.socket) -> None:
    from support.jobs import a_job
    from support.token_runs import TINY_LLAMA

    from pretrain_trainer.agent.preload import preload

    importlib.import_module("pretrain_trainer.agent.program")
    preload(a_job().with_spec(model={"config": TINY_LLAMA}).job.spec)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([asked, *running], [], [])
        for handle in [each for each in ready if each is not asked]:
            pid = running.pop(handle)
            os.close(handle)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            telling.sendall(json.dumps({"pid": pid, "code": code}).encode() + b"\n")
        if asked in ready:
            message, ancillary, _, _ = asked.recvmsg(4, socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS))
            if not message:
                return
            log, *inherited = array.array("i", ancillary[0][2])
            content = b""
            while len(content) < int.from_bytes(message, "big"):
                content += asked.recv(1 << 20)
            pid = os.fork()
            if not pid:
                _become(json.loads(content), log, inherited, [asked.fileno(), telling.fileno(), *running])
            for theirs in (log, *inherited):
                os.close(theirs)
            running[os.pidfd_open(pid)] = pid
            asked.sendall(pid.to_bytes(4, "big"))


def _become(request: dict[str, Any], log: int, inherited: Sequence[int], others: Sequence[int]) -> None:
    code = 1
    try:
        for descriptor in others:
            os.close(descriptor)
        os.setsid()
        for standard in (1, 2):
            os.dup2(log, standard)
        os.environ.clear()
        os.environ.update(request["environment"])
        code = importlib.import_module(request["module"]).main(
            [argument.format(*inherited) if argument.startswith("{") else argument for argument in request["arguments"]]
        )
    except BaseException:  # noqa: BLE001 - the border of the process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
