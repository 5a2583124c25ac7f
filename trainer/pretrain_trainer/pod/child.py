"""The stage program as a child: started, listened to, asked to stop, killed with all that it started."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence

from pretrain_api import child

_LOG_BYTES = 64 << 10
_AT_ONCE = 1 << 16


class Child:
    """One program. Its output goes on to this program's own; the end of it is kept."""

    def __init__(self, program: Sequence[str], environment: Mapping[str, str], inherited: Sequence[int] = ()) -> None:
        """`inherited`: descriptors that it keeps."""
        tied = [sys.executable, "-I", "-S", child.__file__, str(os.getpid())]
        self._process = subprocess.Popen(
            [*tied, *program],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherited,
        )
        self._tail = b""

    @property
    def log(self) -> str:
        """The end of what it printed."""
        return self._tail.decode(errors="replace")

    def wait(self) -> int:
        """Pass its output on until it has ended; its exit code. Signal handlers run meanwhile."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        ended = os.pidfd_open(self._process.pid)
        try:
            # Not until the end of the pipe: something that outlived the program might hold it open for ever.
            while not select.select([ended], [], [], 0)[0]:
                if output in select.select([output, ended], [], [])[0]:
                    self._pass_on(output)
            while select.select([output], [], [], 0)[0] and self._pass_on(output):
                pass
        finally:
            os.close(ended)
        return self._process.wait()

    def _pass_on(self, output: int) -> bool:
        content = os.read(output, _AT_ONCE)
        self._tail = (self._tail + content)[-_LOG_BYTES:]
        with contextlib.suppress(OSError):  # whoever reads our log may be gone; the work is not
            os.write(sys.stderr.fileno(), content)
        return bool(content)

    def ask_to_stop(self) -> None:
        """SIGTERM: it saves and leaves."""
        self._process.terminate()
