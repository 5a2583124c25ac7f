import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.data.proportions import MAX_PERIOD, integer_shares, pattern

weights = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


class TestIntegerShares:
    @pytest.mark.parametrize(
        ("given_weights", "shares"),
        [([0.7, 0.3], (7, 3)), ([1.0], (1,)), ([5.0], (1,)), ([2, 4, 6], (1, 2, 3)), ([0.5, 0.25, 0.25], (2, 1, 1))],
    )
    def test_are_the_decimals_that_were_written(self, given_weights: list[float], shares: tuple[int, ...]) -> None:
        assert integer_shares(given_weights) == shares

    @given(weights)
    def test_are_within_one_part_of_the_period(self, given_weights: list[float]) -> None:
        shares = np.array(integer_shares(given_weights))
        assert shares.sum() <= MAX_PERIOD
        assert (shares >= 1).all()
        wanted = np.array(given_weights) / sum(given_weights)
        assert (np.abs(shares / shares.sum() - wanted) <= len(given_weights) / MAX_PERIOD).all()

    def test_of_extreme_weights_leave_each_source_a_place(self) -> None:
        assert integer_shares([1e9, 1, 1]) == (MAX_PERIOD - 2, 1, 1)


class TestPattern:
    @given(st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any))
    def test_gives_each_source_the_floor_or_ceiling_of_its_share_at_every_position(self, shares: list[int]) -> None:
        made = pattern(tuple(shares))
        counts = np.cumsum(made.source[:, None] == np.arange(len(shares)), axis=0)
        positions = np.arange(1, made.period + 1)[:, None]
        lag = counts * made.period - positions * np.array(shares)
        assert (np.abs(lag) < made.period).all()
        assert counts[-1].tolist() == shares

    @given(st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any))
    def test_ranks_count_each_sources_own_positions(self, shares: list[int]) -> None:
        made = pattern(tuple(shares))
        for source, share in enumerate(shares):
            assert made.rank[made.source == source].tolist() == list(range(share))

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 100))
    def test_length_until_ends_on_that_sample(self, shares: list[int], samples: int) -> None:
        made = pattern(tuple(shares))
        length = made.length_until(0, samples)
        taken = np.tile(made.source, length // made.period + 1)[:length]
        assert (taken == 0).sum() == samples
        assert taken[-1] == 0
