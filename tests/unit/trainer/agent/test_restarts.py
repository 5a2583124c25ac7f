"""When ranks are started again in place, and what is told of it."""

from datetime import UTC, datetime

from pretrain_api.events import Outcome
from pretrain_trainer.agent.board import Board, Phase
from pretrain_trainer.agent.place import Place
from pretrain_trainer.agent.restarts import MOST_IN_VAIN, Break, Deaths, changed, is_recoverable, recovery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_death(at: float) -> Break:
    return Break(
        "Restart", "exit -9 (SIGKILL)", Deaths(count=2, furthest=9), at, NOON, reached=7, stopped=at + 0.5, rank=1
    )


def a_place(*machines: str) -> Place:
    return Place(1, len(machines), 0, "10.0.0.1", 29400, "1-token", 1, machines)


class TestChange:
    def test_is_called_by_what_became_of_the_roster(self) -> None:
        assert changed(a_place("a", "b", "c"), a_place("a", "c")) == ("Shrink", "b")
        assert changed(a_place("a", "b"), a_place("a", "c")) == ("Replace", "b")
        assert changed(a_place("a"), a_place("a", "b")) == ("Grow", "b")


class TestWhetherItHelps:
    def test_a_killed_rank_is_started_again(self) -> None:
        assert is_recoverable(Outcome(outcome="failed", kind="Signal", rank=3))

    def test_what_a_program_says_of_its_own_end_is_the_operator_s_to_judge(self) -> None:
        for outcome in (
            None,
            Outcome(outcome="complete"),
            Outcome(outcome="stopped"),
            Outcome(outcome="userError", code="x"),
            Outcome(outcome="failed", kind="NonFinite"),
        ):
            assert not is_recoverable(outcome)


class TestDeaths:
    def test_without_a_new_step_in_between_they_are_too_many_at_last(self) -> None:
        deaths = Deaths().and_one(step=5)
        for _ in range(MOST_IN_VAIN):
            assert not deaths.are_too_many
            deaths = deaths.and_one(step=5)
        assert deaths.are_too_many
        assert (deaths.count, deaths.furthest) == (1 + MOST_IN_VAIN, 5)

    def test_a_change_of_the_roster_is_none(self) -> None:
        deaths = Deaths().and_one(step=5)
        for _ in range(MOST_IN_VAIN):
            deaths = deaths.and_a_change(step=5)
        assert not deaths.are_too_many
        assert deaths.count == 1 + MOST_IN_VAIN

    def test_before_the_first_step_count_as_well(self) -> None:
        deaths = Deaths()
        for _ in range(MOST_IN_VAIN):
            assert not deaths.are_too_many
            deaths = deaths.and_one(step=-1)
        assert deaths.are_too_many

    def test_with_progress_in_between_never_end_it(self) -> None:
        deaths = Deaths()
        for step in range(100):
            deaths = deaths.and_one(step)
        assert not deaths.are_too_many

    def test_a_step_that_was_made_before_is_no_progress(self) -> None:
        deaths = Deaths().and_one(step=9).and_one(step=4).and_one(step=8).and_one(step=9)
        assert deaths.are_too_many


class TestRecovery:
    def test_is_told_once_every_rank_has_made_a_step(self) -> None:
        board = Board(ranks=2)
        for local in (0, 1):
            for phase in (Phase.JOINING, Phase.LOADING):
                board.mark(local, phase)
            board.mark(local, Phase.READING, 6)
        began = board.came_to(Phase.JOINING)
        assert began is not None
        death = a_death(began - 1.0)
        board.mark(0, Phase.READING, 7)
        assert recovery(death, board) is None
        board.mark(1, Phase.READING, 7)
        told = recovery(death, board)
        assert told is not None
        assert (told.number, told.rank, told.cause, told.time) == (2, 1, "exit -9 (SIGKILL)", NOON)
        assert told.lost_steps == 1
        assert 1.0 <= told.seconds < 2.0
        assert list(told.phases) == ["stop", "start", "join", "load", "step"]
        assert told.phases["stop"] == 0.5
        assert abs(sum(told.phases.values()) - told.seconds) < 0.01

    def test_of_one_that_lost_nothing(self) -> None:
        board = Board(ranks=1)
        for step in (7, 8):
            board.mark(0, Phase.READING, step)
        told = recovery(a_death(0.0), board)
        assert told is not None
        assert told.lost_steps == 0
