from pretrain_trainer.data.indexes import Place
from pretrain_trainer.data.ranges import GAP_BYTES, MOST_BYTES, ranges


def place(start: int, end: int, shard: int = 0) -> Place:
    return Place(shard, 0, start + 10, end - start - 10, 0, start, 10, 0, 1, 1)


def read(*places: Place) -> list[tuple[int, int, int, list[int]]]:
    return [(r.shard, r.start, r.end, [n for n, _ in r.places]) for r in ranges(list(enumerate(places)))]


class TestRanges:
    def test_hold_neighbours_together(self) -> None:
        assert read(place(0, 100), place(600, 700)) == [(0, 0, 700, [0, 1])]

    def test_come_in_the_order_in_which_records_are_wanted(self) -> None:
        far = 1 << 30
        assert read(place(far, far + 9), place(100, 200), place(0, 50)) == [(0, far, far + 9, [0]), (0, 0, 200, [2, 1])]

    def test_do_not_join_over_a_gap_another_shard_or_beyond_their_bound(self) -> None:
        assert len(read(place(0, 100), place(101 + GAP_BYTES, 200 + GAP_BYTES))) == 2
        assert len(read(place(0, 100), place(100, 200, shard=1))) == 2
        assert len(read(place(0, 100), place(100, MOST_BYTES + 1))) == 2

    def test_hold_a_record_that_is_longer_than_their_bound(self) -> None:
        assert read(place(0, 2 * MOST_BYTES)) == [(0, 0, 2 * MOST_BYTES, [0])]
