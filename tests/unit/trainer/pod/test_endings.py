"""How a pod ends, by what its stage program said or died of."""

import pytest

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_STOPPED, EXIT_USER_ERROR
from pretrain_api.events import Outcome
from pretrain_trainer.pod.endings import ending


def said(outcome: str, message: str = "its words") -> Outcome:
    return Outcome(outcome=outcome, kind="Value", code="some-code", message=message)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "code"), [("complete", EXIT_OK), ("userError", EXIT_USER_ERROR), ("failed", EXIT_FAILURE)]
)
@pytest.mark.parametrize("was_asked", [False, True])
def test_what_the_stage_program_says_is_passed_on(outcome: str, code: int, was_asked: bool) -> None:
    assert ending(code, said(outcome), "", was_asked) == (said(outcome), code)


def test_a_completed_phase_need_not_say_more() -> None:
    assert ending(0, said("complete", ""), "", False) == (said("complete", ""), EXIT_OK)


def test_a_rank_that_was_killed_is_named_with_the_end_of_the_log() -> None:
    killed = Outcome(outcome="failed", kind="Signal", rank=3)
    outcome, code = ending(137, killed, "ValueError: connection closed by peer\n", False)
    assert (outcome.kind, outcome.rank, code) == ("Signal", 3, 137)
    assert outcome.message == "exit -9 (SIGKILL)\nValueError: connection closed by peer"


def test_a_stage_program_that_was_killed() -> None:
    outcome, code = ending(-9, None, "reading\n", False)
    assert (outcome.outcome, outcome.kind, code) == ("failed", "Signal", 137)
    assert outcome.message == "exit -9 (SIGKILL)\nreading"


@pytest.mark.parametrize(("code", "shown"), [(3, 3), (0, EXIT_FAILURE)])
def test_one_that_ended_without_a_word(code: int, shown: int) -> None:
    outcome, exit_code = ending(code, None, "ImportError: no torch\n", False)
    assert (outcome.outcome, outcome.kind, exit_code) == ("failed", "Exit", shown)
    assert outcome.message == f"exit {code}\nImportError: no torch"


@pytest.mark.parametrize("code", [-15, 1])
def test_one_that_was_stopped_before_it_could_speak(code: int) -> None:
    outcome, exit_code = ending(code, None, "", True)
    assert (outcome.outcome, exit_code) == ("stopped", EXIT_STOPPED)
