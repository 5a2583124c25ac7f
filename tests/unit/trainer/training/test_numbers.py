from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.training.numbers import micro_batches


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 40))
def test_every_rank_has_as_many_micro_batches_and_together_they_are_the_batch(
    batch: int, world: int, micro: int
) -> None:
    seen, counts = [], set()
    for rank in range(world):
        mine = rank_slice(batch, rank, world)
        parts = list(micro_batches(mine.stop - mine.start, -(-batch // world), micro))
        assert all(stop - start <= micro for start, stop in parts)
        counts.add(len(parts))
        seen += [mine.start + n for start, stop in parts for n in range(start, stop)]
    assert seen == list(range(batch))
    assert len(counts) == 1
