import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from pretrain_trainer.data.kept import Kept


@dataclass(frozen=True)
class Value:
    number: int
    bytes: int = 10


class Maker:
    """Counts what it makes; waits, where it is told to, until it may."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.may_make = threading.Event()
        self.may_make.set()

    def __call__(self, number: int) -> Value:
        assert self.may_make.wait(60)
        self.made.append(number)
        return Value(number)


def test_is_made_once() -> None:
    kept, maker = Kept[Value](100), Maker()
    assert [kept.get(number, maker).number for number in (1, 2, 1, 2)] == [1, 2, 1, 2]
    assert maker.made == [1, 2]


def test_the_longest_unused_goes_first() -> None:
    kept, maker = Kept[Value](20), Maker()
    for number in (1, 2, 1, 3):
        kept.get(number, maker)
    assert kept.numbers() == [1, 3]
    kept.get(2, maker)
    assert maker.made == [1, 2, 3, 2]


def test_one_is_kept_however_large() -> None:
    kept = Kept[Value](20)
    assert kept.get(7, lambda number: Value(number, 1000)).number == 7
    assert kept.numbers() == [7]
    kept.get(8, Value)
    assert kept.numbers() == [8]


def test_is_made_by_one_thread_while_others_wait_for_it_and_none_for_others() -> None:
    kept, slow = Kept[Value](1000), Maker()
    slow.may_make.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(kept.get, 1, slow) for _ in range(6)]
        assert pool.submit(kept.get, 2, Value).result(60) == Value(2)
        assert not any(future.done() for future in waiting)
        slow.may_make.set()
        assert len({id(future.result(60)) for future in waiting}) == 1
    assert slow.made == [1]


def test_what_could_not_be_made_is_made_by_the_next() -> None:
    def fail(number: int) -> Value:
        raise OSError(number)

    kept = Kept[Value](100)
    with pytest.raises(OSError, match="1"):
        kept.get(1, fail)
    assert kept.get(1, Value) == Value(1)


def test_a_copy_in_another_process_is_empty() -> None:
    kept = Kept[Value](20)
    kept.get(1, Value)
    copy: Kept[Value] = pickle.loads(pickle.dumps(kept))
    assert copy.numbers() == []
    for number in (1, 2, 3):
        copy.get(number, Value)
    assert copy.numbers() == [2, 3]
