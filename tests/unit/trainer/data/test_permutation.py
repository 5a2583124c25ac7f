import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.data.permutation import derive_keys, permute


def permutation(size: int, seed: int) -> np.ndarray:
    values = np.arange(size)
    return permute(values, np.full(size, size), np.repeat(derive_keys(seed), size))


class TestPermute:
    @given(st.integers(1, 3000), st.integers(0, 2**63))
    def test_visits_every_number_once(self, size: int, seed: int) -> None:
        assert np.array_equal(np.sort(permutation(size, seed)), np.arange(size))

    @given(st.lists(st.tuples(st.integers(1, 2**40), st.integers(0, 2**40), st.integers(0, 9)), max_size=20))
    def test_treats_each_element_alone(self, cases: list[tuple[int, int, int]]) -> None:
        sizes = np.array([size for size, _, _ in cases], dtype=np.int64)
        values = np.array([value % size for size, value, _ in cases], dtype=np.int64)
        keys = np.concatenate([derive_keys(seed) for _, _, seed in cases]) if cases else derive_keys(0)[:0]
        together = permute(values, sizes, keys)
        alone = [permute(values[i : i + 1], sizes[i : i + 1], keys[i : i + 1])[0] for i in range(len(cases))]
        assert together.tolist() == alone
        assert (together < sizes).all()

    def test_differs_from_seed_to_seed(self) -> None:
        assert not np.array_equal(permutation(1000, 1), permutation(1000, 2))

    def test_looks_random(self) -> None:
        shuffled = permutation(100_000, 7)
        neighbours = np.corrcoef(shuffled[:-1], shuffled[1:])[0, 1]
        places = np.corrcoef(shuffled, np.arange(100_000))[0, 1]
        assert abs(neighbours) < 0.02
        assert abs(places) < 0.02
        # Each tenth of the input spreads over each tenth of the output: a chi-squared test with 81 degrees of freedom.
        counts = np.histogram2d(shuffled, np.arange(100_000), bins=10)[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 140

    def test_is_the_same_in_every_version(self) -> None:
        """The order of a run that is resumed with a newer version must not change."""
        assert permutation(10, 42).tolist() == [0, 3, 8, 6, 9, 4, 1, 5, 2, 7]
