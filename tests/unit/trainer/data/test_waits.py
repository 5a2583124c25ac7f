import numpy as np
import pytest

from pretrain_trainer.data.waits import Waits


class TestWaits:
    @pytest.mark.parametrize("q", [0.5, 0.95, 0.999])
    def test_quantiles_are_right_to_five_per_cent(self, q: float) -> None:
        waits, drawn = Waits(), np.random.default_rng(1).lognormal(-5, 2, 20_000)
        for seconds in drawn:
            waits.add(seconds)
        assert waits.quantile(q) == pytest.approx(np.quantile(drawn, q), rel=0.06)

    def test_one_late_in_a_thousand_shows_in_the_last_quantile_alone(self) -> None:
        waits = Waits()
        for number in range(2000):
            waits.add(2.0 if number % 500 == 0 else 0.001)
        assert waits.quantile(0.5) < 0.0011
        assert waits.quantile(0.999) == 2.0

    def test_of_nothing_and_of_no_time_are_small(self) -> None:
        waits = Waits()
        assert waits.quantile(0.999) == 0
        waits.add(0.0)
        assert waits.quantile(0.5) == 0
        assert waits.count == 1

    def test_halving_lets_new_ones_count_more(self) -> None:
        waits = Waits()
        for _ in range(100):
            waits.add(1.0)
        waits.halve()
        for _ in range(100):
            waits.add(0.001)
        assert waits.quantile(0.6) < 0.01
