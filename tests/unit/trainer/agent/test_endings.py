"""How a training ends on a machine: who is heard when several ranks have something to say, or none has."""

import pytest

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_STOPPED, EXIT_USER_ERROR
from pretrain_api.events import Outcome
from pretrain_trainer.agent.endings import ending
from pretrain_trainer.agent.ranks import Ended


def said(outcome: str, rank: int = 0) -> Outcome:
    return Outcome(outcome=outcome, rank=rank, kind="Value", code="some-code")  # type: ignore[arg-type]


@pytest.mark.parametrize(("outcome", "code"), [("complete", EXIT_OK), ("userError", EXIT_USER_ERROR)])
def test_a_result_is_a_result_whatever_happened_to_the_processes(outcome: str, code: int) -> None:
    assert ending([Ended(0, code), Ended(1, -9)], said(outcome), was_asked=True) == (said(outcome), code)


def test_a_killed_rank_goes_before_those_that_lost_it() -> None:
    ended = [Ended(0, 1), Ended(3, -9), Ended(1, -9, by_us=True)]
    assert ending(ended, said("failed"), False) == (Outcome(outcome="failed", kind="Signal", rank=3), 137)


def test_a_rank_that_spoke_before_it_was_killed_is_heard() -> None:
    assert ending([Ended(3, -9), Ended(0, 1)], said("failed", rank=3), False) == (said("failed", rank=3), EXIT_FAILURE)


def test_those_that_the_agent_ended_are_not_the_cause() -> None:
    ended = [Ended(2, 7), Ended(0, -9, by_us=True), Ended(1, -9, by_us=True)]
    assert ending(ended, None, False) == (Outcome(outcome="failed", kind="Exit", rank=2), 7)


@pytest.mark.parametrize(
    "ended", [[Ended(0, EXIT_STOPPED), Ended(1, EXIT_STOPPED)], [Ended(0, EXIT_STOPPED), Ended(1, -9)]]
)
def test_ranks_that_were_asked_to_stop(ended: list[Ended]) -> None:
    assert ending(ended, said("stopped"), was_asked=True) == (said("stopped"), EXIT_STOPPED)


def test_ranks_that_were_stopped_before_they_could_speak() -> None:
    outcome, code = ending([Ended(0, -15)], None, was_asked=True)
    assert outcome is not None
    assert (outcome.outcome, code) == ("stopped", EXIT_STOPPED)


def test_one_rank_that_was_told_to_stop_stops_all() -> None:
    ended = [Ended(0, EXIT_STOPPED), Ended(1, EXIT_STOPPED)]
    assert ending(ended, said("stopped"), was_asked=False) == (said("stopped"), EXIT_STOPPED)
