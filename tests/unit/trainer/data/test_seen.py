"""Counting what a run has seen against going through its order sample by sample."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.data.order import Mixture, MixtureSource, Segment, locate
from pretrain_trainer.data.seen import samples_seen

SOURCES = st.lists(
    st.builds(
        MixtureSource,
        samples=st.integers(1, 20),
        weight=st.sampled_from([0.5, 1, 2, 3]),
        max_epochs=st.none() | st.integers(1, 3),
    ),
    min_size=1,
    max_size=4,
)


@given(sources=SOURCES, samples=st.integers(0, 200), starts=st.sets(st.integers(1, 150), max_size=3))
def test_equals_the_order_counted_sample_by_sample(
    sources: list[MixtureSource], samples: int, starts: set[int]
) -> None:
    segments = [Segment(start, tuple(1.0 + start % (n + 2) for n in range(len(sources)))) for start in sorted(starts)]
    mixture = Mixture(tuple(sources), 1, tuple(segments))
    samples = min(samples, mixture.total if mixture.total is not None else samples)
    source, _, _ = locate(mixture, np.arange(samples))
    assert samples_seen(mixture, samples) == np.bincount(source, minlength=len(sources)).tolist()
