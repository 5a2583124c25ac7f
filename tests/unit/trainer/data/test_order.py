import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.order import WINDOW_RECORDS, Mixture, MixtureSource, Segment, locate

sources = st.lists(
    st.builds(
        MixtureSource,
        samples=st.integers(1, 400),
        weight=st.sampled_from([0.1, 0.3, 0.7, 1.0, 2.5]),
        max_epochs=st.none() | st.integers(1, 4),
        samples_per_record=st.integers(1, 7),
    ),
    min_size=1,
    max_size=5,
)
seeds = st.integers(0, 2**63 - 1)


def positions(mixture: Mixture, most: int = 3000) -> np.ndarray:
    return np.arange(most if mixture.total is None else min(most, mixture.total))


class TestEpoch:
    @given(st.integers(1, 2000), st.integers(1, 9), seeds)
    def test_visits_each_sample_once(self, samples: int, samples_per_record: int, seed: int) -> None:
        mixture = Mixture([MixtureSource(samples, 1.0, None, samples_per_record)], seed)
        _, epoch, index = locate(mixture, np.arange(3 * samples))
        for number in range(3):
            assert np.array_equal(np.sort(index[epoch == number]), np.arange(samples))

    @given(sources, seeds)
    def test_of_every_source_in_a_mixture_visits_each_sample_once(self, parts: list[MixtureSource], seed: int) -> None:
        mixture = Mixture(parts, seed)
        source, epoch, index = locate(mixture, positions(mixture))
        for number, part in enumerate(parts):
            visited = np.stack([epoch[source == number], index[source == number]], axis=1)
            assert len(np.unique(visited, axis=0)) == len(visited)
            complete = len(visited) // part.samples * part.samples
            assert sorted(map(tuple, visited[:complete].tolist())) == [
                (e, i) for e in range(complete // part.samples) for i in range(part.samples)
            ]

    def test_differs_from_the_one_before(self) -> None:
        mixture = Mixture([MixtureSource(500, 1.0, None)], 3)
        _, _, index = locate(mixture, np.arange(1000))
        assert not np.array_equal(index[:500], index[500:])

    def test_touches_one_window_of_records_at_a_time(self) -> None:
        record = 10
        mixture = Mixture([MixtureSource(record * 1000, 1.0, None, record)], 3)
        _, _, index = locate(mixture, np.arange(record * WINDOW_RECORDS))
        assert len(np.unique(index // record)) == WINDOW_RECORDS
        assert np.ptp(index // record) > 900  # from all over the source


class TestMixture:
    @given(sources, seeds)
    def test_keeps_the_proportions_while_no_source_is_exhausted(self, parts: list[MixtureSource], seed: int) -> None:
        mixture = Mixture([MixtureSource(p.samples, p.weight, None, 1) for p in parts], seed)
        source, _, _ = locate(mixture, np.arange(2000))
        counts = np.cumsum(source[:, None] == np.arange(len(parts)), axis=0)
        share = np.array([round(p.weight * 10) for p in parts])
        lag = counts * share.sum() - np.arange(1, 2001)[:, None] * share
        assert (np.abs(lag) < share.sum()).all()

    @given(sources.filter(lambda parts: all(p.max_epochs for p in parts)), seeds)
    @settings(max_examples=30)
    def test_gives_every_epoch_of_every_source_and_then_ends(self, parts: list[MixtureSource], seed: int) -> None:
        mixture = Mixture(parts, seed)
        assert mixture.total == sum(p.samples * (p.max_epochs or 0) for p in parts)
        source, epoch, _ = locate(mixture, np.arange(mixture.total))
        for number, part in enumerate(parts):
            assert (source == number).sum() == part.samples * (part.max_epochs or 0)
            assert epoch[source == number].max() == (part.max_epochs or 0) - 1
        with pytest.raises(IndexError, match="behind the last one"):
            locate(mixture, np.array([mixture.total]))

    def test_gives_an_exhausted_sources_share_to_the_others_in_proportion(self) -> None:
        mixture = Mixture(
            [MixtureSource(10, 0.5, 1), MixtureSource(1000, 0.3, None), MixtureSource(1000, 0.2, None)], 1
        )
        source, _, _ = locate(mixture, np.arange(1020))
        exhausted = int(np.flatnonzero(source == 0)[-1]) + 1
        later = source[exhausted : exhausted + 1000]
        assert np.bincount(later, minlength=3).tolist() == [0, 600, 400]

    def test_refuses_a_source_without_samples(self) -> None:
        with pytest.raises(ValueError, match="every source needs samples"):
            Mixture([MixtureSource(0, 1.0, None)], 1)

    def test_refuses_positions_before_the_first(self) -> None:
        with pytest.raises(ValueError, match="begin at 0"):
            locate(Mixture([MixtureSource(5, 1.0, None)], 1), np.array([-1]))


class TestSegments:
    WEIGHTS = st.sampled_from([0.1, 0.3, 0.7, 1.0, 2.5])

    @given(sources, seeds, st.data())
    def test_go_on_with_each_source_where_it_was(
        self, parts: list[MixtureSource], seed: int, data: st.DataObject
    ) -> None:
        starts = sorted(data.draw(st.sets(st.integers(1, 1500), max_size=4)))
        weights = st.tuples(*[self.WEIGHTS for _ in parts])
        segments = tuple(Segment(start, data.draw(weights)) for start in starts)
        mixture, plain = Mixture(parts, seed, segments), Mixture(parts, seed)
        assert mixture.total == plain.total
        g = positions(mixture, 2000)
        source, epoch, index = locate(mixture, g)
        first = starts[0] if starts else len(g)
        for found, was in zip(locate(mixture, g[:first]), locate(plain, g[:first]), strict=True):
            assert np.array_equal(found, was)
        for number, part in enumerate(parts):
            mine = source == number
            assert np.array_equal(epoch[mine], np.arange(mine.sum()) // part.samples)
            for number_of_epoch in range(int(mine.sum()) // part.samples):
                visited = index[mine][epoch[mine] == number_of_epoch]
                assert np.array_equal(np.sort(visited), np.arange(part.samples))

    def test_have_their_proportions_from_their_first_sample_on(self) -> None:
        unlimited = [MixtureSource(50, 0.5, None), MixtureSource(70, 0.3, None), MixtureSource(9, 0.2, None)]
        mixture = Mixture(unlimited, 1, (Segment(333, (1.0, 1.0, 8.0)),))
        source, _, _ = locate(mixture, np.arange(333, 1333))
        counts = np.cumsum(source[:, None] == np.arange(3), axis=0)
        assert (np.abs(counts - np.arange(1, 1001)[:, None] * np.array([0.1, 0.1, 0.8])) < 1).all()
        assert counts[-1].tolist() == [100, 100, 800]

    def test_leave_an_exhausted_source_exhausted(self) -> None:
        mixture = Mixture([MixtureSource(10, 1.0, 1), MixtureSource(50, 1.0, None), MixtureSource(50, 2.0, None)], 1,
                          (Segment(100, (9.0, 1.0, 3.0)),))  # fmt: skip
        source, _, _ = locate(mixture, np.arange(100, 500))
        assert np.bincount(source, minlength=3).tolist() == [0, 100, 300]

    def test_behind_the_end_of_the_mixture_change_nothing(self) -> None:
        assert Mixture([MixtureSource(10, 1.0, 1)], 1, (Segment(10, (2.0,)), Segment(12, (3.0,)))).total == 10

    @pytest.mark.parametrize("later", [(Segment(0, (1.0,)),), (Segment(5, (1.0,)), Segment(5, (2.0,)))])
    def test_begin_one_after_the_other(self, later: tuple[Segment, ...]) -> None:
        with pytest.raises(ValueError, match="one after the other"):
            Mixture([MixtureSource(10, 1.0, None)], 1, later)

    @pytest.mark.parametrize("weights", [(1.0, 2.0), (0.0,)])
    def test_have_a_weight_for_each_source(self, weights: tuple[float, ...]) -> None:
        with pytest.raises(ValueError, match="a weight above 0 for each"):
            Mixture([MixtureSource(10, 1.0, None)], 1, (Segment(5, weights),))


class TestPosition:
    @given(sources, seeds, st.integers(0, 2999))
    def test_is_all_that_a_resumed_run_needs(self, parts: list[MixtureSource], seed: int, resumed_at: int) -> None:
        mixture, again = Mixture(parts, seed), Mixture(parts, seed)
        g = positions(mixture)
        for whole, tail in zip(locate(mixture, g), locate(again, g[resumed_at:]), strict=True):
            assert np.array_equal(whole[resumed_at:], tail)

    @given(st.integers(0, 300), st.integers(1, 64))
    def test_belongs_to_one_rank_of_any_world(self, batch: int, world: int) -> None:
        slices = [rank_slice(batch, rank, world) for rank in range(world)]
        assert [i for s in slices for i in range(s.start, s.stop)] == list(range(batch))
        assert {s.stop - s.start for s in slices} <= {batch // world, -(-batch // world)}

    def test_far_out_costs_no_more_than_near(self) -> None:
        mixture = Mixture([MixtureSource(10**9, 1.0, None, 128), MixtureSource(10**7, 0.01, None, 128)], 5)
        source, epoch, index = locate(mixture, np.array([10**15]))
        assert (source.shape, epoch.shape, index.shape) == ((1,), (1,), (1,))

    def test_of_a_source_is_the_same_in_every_version(self) -> None:
        """The order of a run that is resumed with a newer version must not change."""
        mixture = Mixture([MixtureSource(20, 0.7, None, 3), MixtureSource(5, 0.3, None, 2)], 42)
        source, _, index = locate(mixture, np.arange(12))
        assert source.tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0]
        assert index.tolist() == [4, 13, 3, 10, 8, 0, 1, 18, 5, 1, 2, 12]
