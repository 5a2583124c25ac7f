"""State in memory that outlives the process that wrote it."""

import os
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from pretrain_api.commits import Commit
from pretrain_api.ledger import StepRead
from pretrain_trainer.training import snapshots, world
from pretrain_trainer.training.checkpoints import Position
from pretrain_trainer.training.history import StepFigures
from pretrain_trainer.training.snapshots import Snapshots, newest_common
from pretrain_trainer.training.world import World


@pytest.fixture(scope="module")
def alone() -> Iterator[World]:
    with world.join(1) as here:
        yield here


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = os.memfd_create("test")
    yield descriptor
    os.close(descriptor)


def a_state(value: float) -> list[Tensor]:
    """Of odd sizes and several types."""
    return [
        torch.full((3, 5), value),
        torch.full((7,), value, dtype=torch.float64),
        torch.full((), value, dtype=torch.bfloat16),
        torch.empty(0),
    ]


def figures(first: int, last: int) -> list[StepFigures]:
    """Of the steps from the first to the last."""
    read = StepRead(samples=(0, 1), segment=0, taken={}, digests=())
    return [StepFigures(step, 1.0, 4, 1e-3, 1.0, 1.0, 1.0, 0.0, False, {}, read) for step in range(first, last + 1)]


def kept(memory: int, alone: World, *steps: int, start: int = 1) -> None:
    """A process that kept its state at these steps, and its end."""
    state = a_state(0)
    written = Snapshots(memory, state, alone, is_shared=True)
    for step in steps:
        for tensor in state:
            tensor.fill_(step)
        written.keep(Position(step=step, samples=step * 4), figures(1, step), start)


def a_commit(step: int, start: int = 1) -> Commit:
    return Commit.model_construct(step=step, generation=start)


def found(memory: int, alone: World, committed: int = 0, start: int = 1) -> tuple[int, list[Tensor]] | None:
    state = a_state(-1)
    notes = Snapshots(memory, state, alone, is_shared=True).newest(a_commit(committed, start))
    return (notes.position.step, state) if notes else None


def test_the_next_process_finds_the_newest(memory: int, alone: World) -> None:
    kept(memory, alone, 3, 4, 5)
    step_and_state = found(memory, alone)
    assert step_and_state is not None
    step, state = step_and_state
    assert step == 5
    assert all(torch.equal(here, expected) for here, expected in zip(state, a_state(5), strict=True))


def test_nothing_is_found_where_nothing_was_kept(memory: int, alone: World) -> None:
    assert found(memory, alone) is None
    kept(memory, alone)
    assert found(memory, alone) is None


def test_older_than_the_newest_checkpoint_it_is_of_no_use(memory: int, alone: World) -> None:
    kept(memory, alone, 5)
    assert found(memory, alone, committed=6) is None
    assert found(memory, alone, committed=5) is not None


def test_behind_a_checkpoint_of_a_later_start_it_is_of_another_course(memory: int, alone: World) -> None:
    kept(memory, alone, 5, start=3)
    assert found(memory, alone, committed=5, start=4) is None
    assert found(memory, alone, committed=5, start=3) is not None


def test_who_wrote_a_step_holds_it(memory: int, alone: World) -> None:
    written = Snapshots(memory, a_state(1), alone, is_shared=True)
    assert not written.holds(3)
    written.keep(Position(step=3), figures(1, 3), 1)
    assert written.holds(3)
    assert not written.holds(4)


class TestNewestCommon:
    def test_one_replica_that_holds_it_is_enough(self) -> None:
        assert newest_common([(0, set()), (0, {(1, 4), (1, 5)}), (0, {(1, 4)})], parts=1) == (1, 5)

    def test_every_part_is_held_by_somebody(self) -> None:
        told = [(0, {(1, 5), (1, 6)}), (1, set[tuple[int, int]]()), (0, set[tuple[int, int]]()), (1, {(1, 5)})]
        assert newest_common(told, parts=2) == (1, 5)
        assert newest_common(told[:3], parts=2) is None

    def test_of_a_later_start_it_is_newer_whatever_its_step(self) -> None:
        """The others went on without whoever holds step 9, and came to step 8 in another way."""
        assert newest_common([(0, {(1, 9)}), (0, {(2, 8)})], parts=1) == (2, 8)


def test_with_a_gap_between_checkpoint_and_figures_it_is_of_no_use(memory: int, alone: World) -> None:
    Snapshots(memory, a_state(5), alone, is_shared=True).keep(Position(step=5), figures(4, 5), 1)
    for committed, steps in ((2, None), (3, [4, 5]), (4, [5]), (5, [])):
        notes = Snapshots(memory, a_state(0), alone, is_shared=True).newest(a_commit(committed))
        assert (notes and [each.step for each in notes.figures]) == steps


def test_a_copy_that_was_cut_short_leaves_the_one_before(
    memory: int, alone: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(memory, alone, 3)

    def dies(*_: object) -> bytes:
        raise KeyboardInterrupt

    for steps in ((), (4,)):  # into either slot
        state = a_state(9)
        written = Snapshots(memory, state, alone, is_shared=True)
        assert written.newest(None) is not None
        for step in steps:
            written.keep(Position(step=step), figures(1, step), 1)
        with monkeypatch.context() as patch:
            patch.setattr(Tensor, "copy_", dies)
            with pytest.raises(KeyboardInterrupt):
                written.keep(Position(step=9), (), 1)
        step_and_state = found(memory, alone)
        assert step_and_state is not None
        assert step_and_state[0] == (steps or (3,))[-1]


def test_it_is_not_kept_where_it_would_take_what_others_need(
    memory: int, alone: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "available_bytes", lambda: 100)
    written = Snapshots(memory, a_state(1), alone, is_shared=True)
    assert not written.is_due()
    written.keep(Position(step=1), (), 1)
    monkeypatch.undo()
    assert found(memory, alone) is None


def test_without_an_agent_nothing_is_kept(alone: World) -> None:
    written = snapshots.of_agent(a_state(1), alone, is_shared=True)
    assert not written.is_due()
    assert written.newest(None) is None


def test_copies_take_a_small_part_of_the_time(memory: int, alone: World) -> None:
    written = Snapshots(memory, [torch.zeros(1 << 22)], alone, is_shared=True)
    assert written.is_due()
    written.keep(Position(step=1), (), 1)
    assert not written.is_due()
