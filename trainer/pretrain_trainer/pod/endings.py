"""How the pod's program ended, in the words of an Outcome: what the stage program said, or what its death tells."""

from __future__ import annotations

import signal

from pretrain_api import torchrun_log
from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_STOPPED, EXIT_USER_ERROR
from pretrain_api.events import Outcome
from pretrain_api.stages import Stage

_CODES = {"complete": EXIT_OK, "stopped": EXIT_STOPPED, "userError": EXIT_USER_ERROR, "failed": EXIT_FAILURE}


def ending(stage: Stage, code: int, said: Outcome | None, log: str, was_asked: bool) -> tuple[Outcome, int]:
    """Outcome and exit code of the pod, given the stage program's exit code (negative: minus a signal), what it said
    and the end of its log.

    A rank that was killed cannot speak, and those that lost it speak of the lost connection: it goes before them.
    """
    cause = torchrun_log.root_cause(log) if stage is Stage.TRAIN else None
    ended, rank = (cause.exit_code, cause.rank) if cause else (code, -1)
    if said and said.outcome in ("complete", "userError"):
        return said, _CODES[said.outcome]
    if was_asked and (said is None or said.outcome == "stopped" or ended < 0):
        return said or Outcome(outcome="stopped", message="stopped before it had begun"), EXIT_STOPPED
    if said and not (ended < 0 and rank not in (-1, said.rank)):
        return said, _CODES[said.outcome]
    lines = torchrun_log.last_lines(log)
    if ended < 0:
        number = signal.Signals(-ended)
        message = f"exit {ended} ({number.name})\n{lines}"
        return Outcome(outcome="failed", kind="Signal", rank=rank, message=message), 128 + number
    message = f"exit {ended}\n{lines}"
    return Outcome(outcome="failed", kind="Exit", rank=rank, message=message), ended or EXIT_FAILURE
