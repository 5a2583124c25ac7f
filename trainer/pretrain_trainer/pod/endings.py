"""How the pod's program ended, in the words of an Outcome: what the stage program said, or what its death tells."""

from __future__ import annotations

from pretrain_api import exits
from pretrain_api.errors import EXIT_FAILURE, EXIT_STOPPED
from pretrain_api.events import SIGNAL, Outcome, exit_code
from pretrain_api.log_tail import last_lines


def ending(code: int, said: Outcome | None, log: str, was_asked: bool) -> tuple[Outcome, int]:
    """Outcome and exit code of the pod, given the stage program's exit code (negative: minus a signal), what it said
    and the end of its log."""
    if said and said.message:
        return said, exit_code(said)
    if was_asked and (said is None or said.outcome == "stopped"):
        return said or Outcome(outcome="stopped", message="stopped before it had begun"), EXIT_STOPPED
    if said and said.outcome != "failed":
        return said, exit_code(said)
    # Whoever was killed could say nothing; the end of the log is all there is.
    number, rank = exits.signal_of(code), said.rank if said else -1
    message = f"{exits.in_words(code)}\n{last_lines(log)}"
    shown = 128 + number if number else code or EXIT_FAILURE
    return Outcome(outcome="failed", kind=SIGNAL if number else "Exit", rank=rank, message=message), shown
