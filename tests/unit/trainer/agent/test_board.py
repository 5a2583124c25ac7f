"""What an agent reads of its ranks."""

import os
import signal

from pretrain_trainer.agent import board
from pretrain_trainer.agent.board import Board, Phase


def test_a_board_says_what_the_slowest_and_the_furthest_rank_are_at() -> None:
    shown = Board(ranks=2)
    assert (shown.step, shown.resumed, shown.stepped, shown.came_to(Phase.READING)) == (-1, -1, None, None)
    shown.mark(0, Phase.READING, 4)
    assert (shown.step, shown.resumed, shown.came_to(Phase.READING)) == (4, 4, None)
    shown.mark(1, Phase.READING, 4)
    shown.mark(1, Phase.READING, 5)
    assert (shown.step, shown.resumed, shown.stepped) == (5, 4, None)
    shown.mark(0, Phase.READING, 5)
    assert shown.stepped is not None
    first = shown.came_to(Phase.READING)
    assert first is not None
    assert first < shown.stepped


def test_what_a_fork_writes_can_be_read_after_its_death() -> None:
    shown = Board(ranks=2)
    pid = os.fork()
    if pid == 0:
        board.write_to(shown, 1)
        board.mark(Phase.READING, 41)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert shown.step == 41


def test_a_fork_hears_that_it_is_called_together() -> None:
    shown = Board(ranks=1)
    pid = os.fork()
    if pid == 0:
        board.write_to(shown, 0)
        before = board.is_called_together()
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(before + 2 * board.is_called_together())
    os.waitpid(pid, os.WUNTRACED)
    shown.call_together()
    os.kill(pid, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def test_without_an_agent_nothing_is_written_nor_heard() -> None:
    board.mark(Phase.READING, 1)
    assert not board.is_called_together()
