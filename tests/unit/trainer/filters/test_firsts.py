from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain_trainer.filters import firsts
from pretrain_trainer.filters.firsts import Firsts


def marks_of(folder: Path, keys: list[list[int]], expected: int = 1, batch: int = 3) -> list[int]:
    """Marks for documents that each have a list of keys."""
    collected = Firsts(folder, 1, expected)
    for start in range(0, len(keys), batch):
        some = [(key, document) for document, many in enumerate(keys[start : start + batch], start) for key in many]
        rows = np.array(some, np.uint64).reshape(-1, 2)
        collected.add(rows[:, :1], rows[:, 1])
    marks = np.zeros(len(keys), np.uint8)
    collected.mark_repeats(marks, 1)
    return marks.tolist()


def test_the_first_one_stays(tmp_path: Path) -> None:
    assert marks_of(tmp_path / "a", [[5], [6], [5], [7], [5]]) == [0, 0, 1, 0, 1]


def test_a_document_goes_when_any_key_was_seen_even_in_a_removed_one(tmp_path: Path) -> None:
    assert marks_of(tmp_path / "a", [[1, 2], [2, 3], [3, 4], [9]]) == [0, 1, 1, 0]


def test_a_document_does_not_repeat_itself(tmp_path: Path) -> None:
    assert marks_of(tmp_path / "a", [[5, 5], [6]]) == [0, 0]


def test_marks_of_an_earlier_kind_stay(tmp_path: Path) -> None:
    collected = Firsts(tmp_path / "a", 2, 10)
    collected.add(np.array([[1, 1], [1, 1], [1, 2]], np.uint64), np.arange(3, dtype=np.uint64))
    marks = np.array([0, 2, 0], np.uint8)
    collected.mark_repeats(marks, 1)
    assert marks.tolist() == [0, 2, 0]


@pytest.mark.parametrize("partitions", [1, 4])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(keys=st.lists(st.lists(st.sampled_from([0, 1, 2, 1 << 62, 3 << 62, (1 << 64) - 1]), max_size=3), max_size=12))
def test_partitions_and_buffers_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, partitions: int, keys: list[list[int]]
) -> None:
    seen: set[int] = set()
    expected = []
    for many in keys:
        expected.append(int(bool(seen & set(many))))
        seen.update(many)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(firsts, "PARTITION_BYTES", 64)
        patch.setattr(firsts, "_BUFFERS_BYTES", 40)
        folder = tmp_path_factory.mktemp("firsts")
        assert marks_of(folder / "a", keys, expected=partitions * 2, batch=2) == expected
        assert list((folder / "a").iterdir()) == []
