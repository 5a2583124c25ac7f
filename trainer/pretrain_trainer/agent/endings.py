"""How an attempt ended, from how its ranks ended: pure."""

from __future__ import annotations

from collections.abc import Sequence

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_STOPPED
from pretrain_api.events import SIGNAL, Outcome, exit_code
from pretrain_trainer.agent.ranks import Ended


def is_fault(ended: Ended) -> bool:
    """Whether the others need not be waited for: they have lost a rank that was needed."""
    return ended.code not in (EXIT_OK, EXIT_STOPPED)


def ending(ended: Sequence[Ended], said: Outcome | None, was_asked: bool) -> tuple[Outcome | None, int]:
    """Outcome and exit code of the agent, given how its ranks ended, in that order, and what the first of them said
    that spoke.

    A rank that was killed cannot speak, and those that lost it speak of the lost connection: it goes before them.
    """
    if said and said.outcome in ("complete", "userError"):
        return said, exit_code(said)
    killed = next((each for each in ended if each.code < 0 and not each.by_us), None)
    if was_asked and (said is None or said.outcome == "stopped" or killed):
        return said or Outcome(outcome="stopped", message="stopped before it had begun"), EXIT_STOPPED
    if killed and not (said and said.rank == killed.rank):
        return Outcome(outcome="failed", kind=SIGNAL, rank=killed.rank), 128 - killed.code
    if said:
        return said, exit_code(said)
    failed = next((each for each in ended if is_fault(each) and not each.by_us), None)
    if failed:
        return Outcome(outcome="failed", kind="Exit", rank=failed.rank), failed.code
    return None, EXIT_FAILURE if any(is_fault(each) for each in ended) else ended[0].code
