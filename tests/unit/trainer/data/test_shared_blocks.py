"""Blocks that the ranks of one machine share."""

from pathlib import Path

import numpy as np

from pretrain_trainer.data.shared_blocks import SharedBlocks

RECORD = np.arange(100, dtype=np.uint8)


def ranks(folder: Path, budget: int = 1000) -> tuple[SharedBlocks, SharedBlocks]:
    first, second = (SharedBlocks(folder / "shared", ["a"], rank, 2, budget) for rank in range(2))
    return first, second


def test_one_rank_fetches_a_record_and_the_other_finds_it(tmp_path: Path) -> None:
    first, second = ranks(tmp_path)
    assert (first.is_mine((0, 4)), second.is_mine((0, 4))) == (True, False)
    assert second.get((0, 4)) is None
    first.put((0, 4), RECORD)
    found = second.get((0, 4))
    assert found is not None
    assert found.tolist() == RECORD.tolist()


def test_the_oldest_go_when_the_budget_is_used(tmp_path: Path) -> None:
    first, _ = ranks(tmp_path, budget=500)
    for record in range(4):
        first.put((0, record), RECORD)
    assert [record for record in range(4) if first.get((0, record)) is not None] == [2, 3]


def test_each_removes_its_own_and_the_last_the_folder(tmp_path: Path) -> None:
    first, second = ranks(tmp_path)
    first.put((0, 0), RECORD)
    second.put((0, 1), RECORD)
    first.close()
    assert (second.get((0, 0)), second.get((0, 1)) is not None) == (None, True)
    second.close()
    assert list(tmp_path.iterdir()) == []
