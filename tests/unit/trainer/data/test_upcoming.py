"""Which rank takes which samples of a step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.data.order import WINDOW_RECORDS, Mixture, MixtureSource
from pretrain_trainer.data.upcoming import Upcoming, by_record, rank_slice

STEPS = st.integers(1, 4).flatmap(
    lambda steps: st.integers(1, 30).flatmap(
        lambda samples: st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=steps * samples, max_size=steps * samples
        ).map(lambda drawn: np.array(drawn, dtype=np.int64).reshape(steps, samples, 2))
    )
)


class TestByRecord:
    @given(STEPS)
    def test_has_every_place_of_each_step_once(self, drawn: np.ndarray) -> None:
        places = by_record(drawn[..., 0], drawn[..., 1])
        assert np.sort(places, axis=1).tolist() == [list(range(drawn.shape[1]))] * len(drawn)

    @given(STEPS)
    def test_samples_of_one_source_come_record_by_record(self, drawn: np.ndarray) -> None:
        for step, places in zip(drawn, by_record(drawn[..., 0], drawn[..., 1]), strict=True):
            for source in range(4):
                records = [record for of, record in step[places].tolist() if of == source]
                assert records == sorted(records)

    @given(STEPS, st.integers(1, 8))
    def test_every_rank_has_its_share_of_each_source(self, drawn: np.ndarray, world: int) -> None:
        samples = drawn.shape[1]
        for step, places in zip(drawn, by_record(drawn[..., 0], drawn[..., 1]), strict=True):
            for source in range(4):
                here = (step[places, 0] == source).astype(int)
                due = here.sum() / samples
                for mine in (rank_slice(samples, rank, world) for rank in range(world)):
                    # Each other source rounds by up to one sample at either end of the slice.
                    assert abs(here[mine].sum() - due * (mine.stop - mine.start)) <= 4


def records_of(world: int, rank: int, batch: int) -> set[int]:
    """The records that a rank reads in a window of 64 records of 128 samples."""
    source = MixtureSource(10_000 * 128, 1.0, None, 128)
    upcoming = Upcoming(Mixture([source], 3), batch, range(rank, rank + 1), world, 0)
    found: set[int] = set()
    for _ in range(WINDOW_RECORDS * 128 // 8192):
        found |= set((upcoming.piece().index // 128).reshape(-1).tolist())
    return found


class TestUpcoming:
    @pytest.mark.parametrize("rank", [0, 3, 7])
    def test_a_rank_reads_few_of_the_records_that_another_reads(self, rank: int) -> None:
        own, all_of_them = records_of(8, rank, 512), records_of(1, 0, 512)
        assert len(all_of_them) == WINDOW_RECORDS
        assert own < all_of_them
        assert len(own) <= 16  # 8 and what lies on the border, which moves with each step
