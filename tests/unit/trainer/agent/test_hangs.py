"""When ranks that live are taken to hang, and which of them is to blame."""

import pytest

from pretrain_trainer.agent.board import Board, Phase
from pretrain_trainer.agent.hangs import (
    LEAST_SECONDS,
    MEET_SECONDS,
    MOST_SECONDS,
    PATIENCE_SECONDS,
    TIMES_LONGEST,
    Seen,
    Watch,
    verdict,
)


class TestWatch:
    @staticmethod
    def until_stuck(watch: Watch, every: float = 0.5) -> float:
        """Seconds of looking until a rank is taken to hang."""
        assert not watch.look(1000.0)
        looks = 0
        while not watch.look(1000.0 + every * (looks := looks + 1)):
            assert looks < 100_000
        return looks * every

    def test_a_rank_hangs_that_makes_no_progress_for_longer_than_ever_of_late(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [50.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        board = Board(ranks=2)
        for local in (0, 1):
            board.mark(local, Phase.COMPUTING, 1)
        assert self.until_stuck(Watch(board, 0)) == LEAST_SECONDS + 0.5
        now[0] += 7
        board.mark(0, Phase.TOGETHER)
        board.mark(0, Phase.COMPUTING)
        board.mark(1, Phase.READING)
        assert self.until_stuck(Watch(board, 0)) == 7 * TIMES_LONGEST + 0.5
        for _ in range(100):
            board.mark(0, Phase.COMPUTING)
        assert self.until_stuck(Watch(board, 0)) == LEAST_SECONDS + 0.5
        now[0] += 10_000
        board.mark(0, Phase.COMPUTING)
        assert self.until_stuck(Watch(board, 0)) == MOST_SECONDS + 0.5

    def test_the_job_may_say_how_long(self) -> None:
        board = Board(ranks=1)
        board.mark(0, Phase.TOGETHER)
        assert self.until_stuck(Watch(board, 3)) == 3.5

    @pytest.mark.parametrize("phase", [Phase.JOINING, Phase.LOADING, Phase.READING, Phase.WARMING, Phase.SAVING])
    def test_whatever_may_take_long_has_a_patience_of_its_own(self, phase: Phase) -> None:
        board = Board(ranks=1)
        board.mark(0, phase)
        patience = {Phase.WARMING: MOST_SECONDS, Phase.JOINING: MEET_SECONDS}.get(phase, PATIENCE_SECONDS)
        assert self.until_stuck(Watch(board, 3)) == patience + 0.5

    def test_who_moves_does_not_hang(self) -> None:
        board = Board(ranks=1)
        watch = Watch(board, 3)
        for second in range(100):
            board.mark(0, Phase.COMPUTING)
            assert not watch.look(float(second))
            assert watch.seconds(0) == 0

    def test_an_agent_that_was_held_up_itself_has_seen_nothing(self) -> None:
        board = Board(ranks=1)
        board.mark(0, Phase.COMPUTING)
        watch = Watch(board, 0)
        for number, second in enumerate((1.0, 2.0, 3600.0, 7200.0)):
            assert not watch.look(second), number


def at(rank: int, phase: Phase, where: str = "x.py:1 in f", seconds: float = 12.0) -> Seen:
    return Seen(rank, rank // 2, int(phase), seconds, where)


class TestVerdict:
    def test_blames_the_process_that_does_not_run(self) -> None:
        found = verdict(
            [at(0, Phase.TOGETHER), at(1, Phase.TOGETHER), at(2, Phase.READING), at(3, Phase.COMPUTING, "")]
        )
        assert found is not None
        assert (found.rank, found.node, found.hang, found.stood) == (3, 1, "rank 3 does not run", 12.0)

    def test_blames_the_rank_that_the_others_wait_for(self) -> None:
        found = verdict([at(0, Phase.TOGETHER), at(1, Phase.COMPUTING, "loop.py:9 in _step"), at(2, Phase.TOGETHER)])
        assert found is not None
        assert (found.rank, found.hang) == (1, "rank 1 made no progress for 12 s at loop.py:9 in _step")

    def test_blames_the_one_that_waits_elsewhere(self) -> None:
        found = verdict([at(rank, Phase.TOGETHER, "a.py:1 in f" if rank != 3 else "b.py:2 in g") for rank in range(5)])
        assert found is not None
        assert (found.rank, found.hang) == (3, "rank 3 made no progress for 12 s at b.py:2 in g")

    def test_names_all_where_none_differs(self) -> None:
        found = verdict([at(rank, Phase.TOGETHER) for rank in range(3)])
        assert found is not None
        assert found.hang == "3 of 3 ranks, 0 the first, made no progress for 12 s at x.py:1 in f"

    def test_there_is_no_hang_while_one_waits_for_storage_or_moves(self) -> None:
        assert verdict([at(0, Phase.TOGETHER), at(1, Phase.READING)]) is None
        assert verdict([at(0, Phase.TOGETHER), at(1, Phase.SAVING, seconds=600)]) is None
        assert verdict([at(0, Phase.TOGETHER), at(1, Phase.COMPUTING, seconds=0.5)]) is None

    def test_but_patience_ends(self) -> None:
        found = verdict([at(0, Phase.TOGETHER), at(1, Phase.READING, seconds=PATIENCE_SECONDS + 1)])
        assert found is not None
        assert found.rank == 1
