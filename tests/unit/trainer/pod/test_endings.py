"""How a pod ends: who is heard when several have something to say, or nobody has."""

import pytest

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_STOPPED, EXIT_USER_ERROR
from pretrain_api.events import Outcome
from pretrain_api.stages import Stage
from pretrain_trainer.pod.endings import ending

TORCHRUN = """
ValueError: connection closed by peer
E1123 torch/distributed/elastic/multiprocessing/api.py:1002] failed
Root Cause (first observed failure):
[0]:
  rank      : {rank} (local_rank: 1)
  exitcode  : {code} (pid: 1285)
"""


def said(outcome: str, rank: int = 0) -> Outcome:
    return Outcome(outcome=outcome, rank=rank, kind="Value", code="some-code")  # type: ignore[arg-type]


def train(code: int, outcome: Outcome | None, log: str = "", was_asked: bool = False) -> tuple[Outcome, int]:
    return ending(Stage.TRAIN, code, outcome, log, was_asked)


@pytest.mark.parametrize(
    ("outcome", "code"), [("complete", EXIT_OK), ("userError", EXIT_USER_ERROR), ("failed", EXIT_FAILURE)]
)
def test_what_the_stage_program_says_is_passed_on(outcome: str, code: int) -> None:
    assert ending(Stage.COLLECT, code, said(outcome), "", False) == (said(outcome), code)


def test_torchrun_ends_with_1_whatever_its_ranks_ended_with() -> None:
    log = TORCHRUN.format(rank=0, code=EXIT_STOPPED)
    assert train(1, said("stopped"), log, was_asked=True) == (said("stopped"), EXIT_STOPPED)
    assert train(1, said("userError"), TORCHRUN.format(rank=0, code=2))[1] == EXIT_USER_ERROR


def test_a_rank_that_was_killed_goes_before_one_that_lost_it() -> None:
    outcome, code = train(1, said("failed", rank=0), TORCHRUN.format(rank=3, code=-9))
    assert (outcome.kind, outcome.rank, code) == ("Signal", 3, 137)
    assert outcome.message == "exit -9 (SIGKILL)\nValueError: connection closed by peer"


def test_a_rank_that_spoke_before_it_was_killed_is_heard() -> None:
    assert train(1, said("failed", rank=3), TORCHRUN.format(rank=3, code=-9))[0] == said("failed", rank=3)


def test_a_stage_program_that_was_killed() -> None:
    outcome, code = ending(Stage.PREPARE, -9, None, "reading\n", False)
    assert (outcome.outcome, outcome.kind, code) == ("failed", "Signal", 137)
    assert outcome.message == "exit -9 (SIGKILL)\nreading"


def test_one_that_ended_without_a_word() -> None:
    outcome, code = ending(Stage.PREPARE, 3, None, "ImportError: no torch\n", False)
    assert (outcome.outcome, outcome.kind, outcome.message, code) == (
        "failed",
        "Exit",
        "exit 3\nImportError: no torch",
        3,
    )


@pytest.mark.parametrize("code", [-15, 1])
def test_one_that_was_stopped_before_it_could_speak(code: int) -> None:
    outcome, exit_code = train(code, None, was_asked=True)
    assert (outcome.outcome, exit_code) == ("stopped", EXIT_STOPPED)


def test_a_stage_that_completed_although_it_was_asked_to_stop_is_complete() -> None:
    assert train(0, said("complete"), was_asked=True) == (said("complete"), EXIT_OK)
