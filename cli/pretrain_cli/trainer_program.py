"""Programs of the trainer that commands start: its libraries stay out of the command line, in the image of a cluster too."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

from pretrain_api.child import ENV_PROGRAM
from pretrain_api.errors import PretrainError
from pretrain_api.findings import Finding, loaded

_TIDYING_SECONDS = 5.0
_INTERRUPTED = 130
"""128 + SIGINT, as shells count."""


def run(module: str, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> int:
    """Run `pretrain_trainer.<module>` with these arguments and this process's standard streams; its exit code.

    `environment`: variables that it has besides this process's own.

    Ctrl-C is the program's affair, which a terminal tells as well: it ends in order, and what it says is the answer. One
    that was not told, or was still loading its libraries, is told again.
    """
    # It listens once it has loaded its libraries; until then Ctrl-C would end it with a traceback.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [sys.executable, "-m", f"pretrain_trainer.{module}", *arguments]
    # By this process's number the program sees that it has ended, even before it could ask to be told of that.
    own = {ENV_PROGRAM: str(os.getpid())}
    program = subprocess.Popen(command, env={**os.environ, **environment, **own})
    signal.signal(signal.SIGINT, before)
    try:
        return program.wait()
    except KeyboardInterrupt:
        return _ended(program)


def _ended(program: "subprocess.Popen[bytes]") -> int:
    while True:
        try:
            code = program.wait(_TIDYING_SECONDS)
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGINT)
        except KeyboardInterrupt:
            continue
        else:
            return _INTERRUPTED if code == -signal.SIGINT else code


def findings(*arguments: str, **environment: str) -> list[Finding]:
    """What `pretrain_trainer.diagnosing` finds, with further variables of the environment."""
    command = [sys.executable, "-m", "pretrain_trainer.diagnosing", "--output", "json", *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise PretrainError(f"`{shlex.join(command[1:])}` ended with exit code {done.returncode} and no answer.")
    return loaded(done.stdout)
