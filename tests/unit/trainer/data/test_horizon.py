import numpy as np

from pretrain_trainer.data.horizon import Horizon, evicted


def announced(*records: int, source: int = 0) -> tuple[Horizon, list[tuple[int, int]]]:
    horizon = Horizon()
    record = np.array(records, dtype=np.int64)
    return horizon, horizon.announce(np.full_like(record, source), record)


class TestHorizon:
    def test_gives_records_in_the_order_of_their_first_use(self) -> None:
        assert announced(5, 2, 5, 9, 2)[1] == [(0, 5), (0, 2), (0, 9)]

    def test_tells_when_a_record_is_used_next(self) -> None:
        horizon, _ = announced(5, 2, 5, 9)
        assert [horizon.next_use((0, r)) for r in (5, 2, 9, 1)] == [0, 1, 3, None]
        horizon.pass_by(2)
        assert [horizon.next_use((0, r)) for r in (5, 2, 9)] == [2, None, 3]

    def test_goes_on_where_it_was_announced_up_to(self) -> None:
        horizon, _ = announced(5, 2)
        horizon.pass_by(2)
        horizon.announce(np.array([1, 0]), np.array([5, 5]))
        assert [horizon.next_use((source, 5)) for source in (0, 1)] == [3, 2]


class TestEvicted:
    def test_are_first_those_without_use_then_those_used_last(self) -> None:
        horizon, _ = announced(1, 2, 3)
        kept = [((0, r), 10) for r in (9, 1, 2, 3)]
        assert list(evicted(kept, 25, horizon, frozenset())) == [(0, 9), (0, 3), (0, 2)]

    def test_never_are_those_in_use(self) -> None:
        horizon, _ = announced(1, 2)
        assert list(evicted([((0, 1), 10), ((0, 2), 10)], 20, horizon, frozenset({(0, 2)}))) == [(0, 1)]

    def test_are_none_where_there_is_room(self) -> None:
        assert list(evicted([((0, 1), 10)], 0, announced(1)[0], frozenset())) == []
