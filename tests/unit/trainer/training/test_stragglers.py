"""The rank that all wait for."""

import pytest
import torch

from pretrain_trainer.training import stragglers
from pretrain_trainer.training.stragglers import OwnWork, Slow, slowest


def test_a_rank_stands_out_by_five_deviations_and_a_fifth() -> None:
    assert slowest([1.0, 1.1, 0.9, 2.0]) == Slow(3, pytest.approx(2.0 / 1.05))
    assert slowest([1.0, 1.1, 0.9, 1.3]) is None  # less than 5 deviations of 0.1 above
    assert slowest([1.0, 1.0, 1.0, 1.19]) is None  # less than a fifth above
    assert slowest([1.0, 1.0, 1.0, 1.21]) == Slow(3, pytest.approx(1.21))


def test_of_two_nobody_is_slower_than_most() -> None:
    assert slowest([1.0, 9.0]) is None
    assert slowest([]) is None


def test_nobody_stands_out_where_nothing_was_done() -> None:
    assert slowest([0.0, 0.0, 0.0]) is None


def test_own_work_is_counted_per_sample_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 10.0, 11.0])
    monkeypatch.setattr(stragglers.time, "perf_counter", lambda: next(clock))
    work = OwnWork(torch.device("cpu"))
    for samples in (6, 2):
        with work.measured(samples):
            pass
    assert work.per_sample() == 4 / 8
    assert work.per_sample() == 0
