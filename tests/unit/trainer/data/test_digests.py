"""Digests of what was read: the definition, and that slices add up."""

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.digests import block_sums, halves, joined, sample_digests
from pretrain_trainer.data.samples import Samples


def samples(count: int, width: int = 5, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return Samples(
        rng.integers(0, 1 << 16, (count, width)),
        np.sort(rng.integers(0, 3, (count, width)), axis=1).astype(np.int32),
        rng.random((count, width)) < 0.9,
        np.zeros(count, dtype=np.bool_),
    )


def rows(of: Samples, some: slice) -> Samples:
    return of.rows(some)


def test_a_sample_is_hashed_as_specified() -> None:
    one = samples(1)
    content = b"".join(int(token).to_bytes(4, "little") for token in one.tokens[0])
    content += b"".join(int(document).to_bytes(4, "little") for document in one.document_ids[0])
    content += bytes(int(valid) for valid in one.valid[0])
    assert sample_digests(one, np.array([77])).tolist() == [xxhash.xxh3_64_intdigest(content, seed=77)]


@pytest.mark.parametrize("part", ["tokens", "document_ids", "valid"])
def test_everything_that_training_sees_counts(part: str) -> None:
    before, g = samples(1), np.array([3])
    changed = samples(1)
    array = getattr(changed, part)
    array[0, 2] = not array[0, 2] if part == "valid" else array[0, 2] + 1
    assert sample_digests(before, g) != sample_digests(changed, g)
    assert sample_digests(before, g) != sample_digests(before, g + 1)


@given(st.integers(1, 70), st.integers(1, 64))
def test_the_sums_of_all_ranks_are_those_of_one(batch: int, world: int) -> None:
    whole, first = samples(batch), 1000
    alone = block_sums(sample_digests(whole, first + np.arange(batch)), np.arange(batch), batch)
    parts = []
    for rank in range(world):
        own = rank_slice(batch, rank, world)
        places = np.arange(own.start, own.stop)
        parts.append(halves(block_sums(sample_digests(rows(whole, own), first + places), places, batch)))
    assert joined(np.sum(parts, axis=0).tolist()) == tuple(alone.tolist())


def test_sums_of_a_million_ranks_are_exact() -> None:
    most = halves(np.full(8, (1 << 64) - 1, dtype=np.uint64))
    ranks = 1 << 20
    assert joined([value * ranks for value in most]) == tuple([((1 << 64) - 1) * ranks % (1 << 64)] * 8)


def test_a_stand_in_counts_nothing() -> None:
    some = samples(3)
    some.stand_ins[1] = True
    assert [bool(digest) for digest in sample_digests(some, np.arange(3))] == [True, False, True]
