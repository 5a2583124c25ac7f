"""Thinning keeps what a curve shows."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pretrain_trainer.reporting.thinning import thin

VALUES = arrays(np.float64, st.integers(0, 300), elements=st.floats(-1e6, 1e6) | st.just(np.nan))


@given(values=VALUES, most=st.integers(4, 64))
def test_keeps_ends_and_extremes_in_order_within_the_limit(values: npt.NDArray[np.float64], most: int) -> None:
    places = thin(values, most)
    known = np.flatnonzero(~np.isnan(values))
    assert len(places) <= max(most, 0)
    assert np.all(np.diff(places) > 0)
    assert set(places) <= set(known)
    if len(known):
        assert {places[0], places[-1]} == {known[0], known[-1]}
        assert values[places].min() == values[known].min()
        assert values[places].max() == values[known].max()


def test_a_short_curve_stays_whole() -> None:
    assert thin(np.arange(10.0), 10).tolist() == list(range(10))
