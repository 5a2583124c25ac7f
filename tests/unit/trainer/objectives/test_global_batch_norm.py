"""Batch norm over ranks is PyTorch's over all of their rows, in one process."""

import pytest
import torch
from support.rank_processes import on_ranks
from torch import Tensor, nn

from pretrain_trainer.objectives.global_batch_norm import GlobalBatchNorm, keep_statistics, over_ranks

pytestmark = pytest.mark.usefixtures("one_thread")

CHANNELS = 5
SLICES = (4, 0, 1, 6)
"""Rows of each rank; one has none."""


def rows() -> Tensor:
    """Far from zero, where a mean of squares would lose what it is of."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sum(SLICES), CHANNELS, 3, 2, generator=generator, dtype=torch.float64) * 3 + 100


def norm() -> nn.BatchNorm2d:
    found = nn.BatchNorm2d(CHANNELS).double()
    with torch.no_grad():
        found.weight.copy_(torch.linspace(0.5, 2, CHANNELS))
        found.bias.copy_(torch.linspace(-1, 1, CHANNELS))
    return found


def weighed(found: Tensor) -> Tensor:
    """A sum to which each element adds in its own way."""
    return (found * torch.linspace(0, 1, found.numel(), dtype=found.dtype).view_as(found)).square().sum()


def reference() -> tuple[nn.BatchNorm2d, Tensor, Tensor, tuple[int, ...]]:
    given, one = rows().requires_grad_(), norm()
    found = one(given)
    starts = [sum(SLICES[:rank]) for rank in range(len(SLICES))]
    sum(
        (weighed(found[start : start + count]) for start, count in zip(starts, SLICES, strict=True)), torch.zeros(())
    ).backward()
    assert given.grad is not None
    return one, found.detach(), given.grad, tuple(starts)


def work(rank: int, world: int) -> list[Tensor]:
    module = nn.Sequential(norm())
    over_ranks(module)
    first = sum(SLICES[:rank])
    given = rows()[first : first + SLICES[rank]].requires_grad_()
    found = module(given)
    weighed(found).backward()
    keep_statistics(module)
    one = module[0]
    assert given.grad is not None
    return [found.detach(), given.grad, one.weight.grad, one.bias.grad, one.running_mean, one.running_var]


def test_outputs_gradients_and_running_statistics_are_those_of_one_process() -> None:
    one, expected, gradient, starts = reference()
    ranks = on_ranks(len(SLICES), __file__, "work")
    for start, count, (found, of_input, *_, mean, variance) in zip(starts, SLICES, ranks, strict=True):
        torch.testing.assert_close(found, expected[start : start + count], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(of_input, gradient[start : start + count], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(mean, one.running_mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(variance, one.running_var, rtol=1e-12, atol=0)
    for place, parameter in ((2, one.weight), (3, one.bias)):
        torch.testing.assert_close(sum(rank[place] for rank in ranks), parameter.grad, rtol=1e-10, atol=1e-10)


def test_alone_it_is_that_of_pytorch_bit_for_bit() -> None:
    one, other = norm(), GlobalBatchNorm.like(norm())
    assert torch.equal(one(rows()), other(rows()))
    other.keep_statistics()
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=1e-12, atol=0)
    assert torch.equal(one.eval()(rows()), other.eval()(rows()))


def test_running_statistics_stay_where_no_update_follows() -> None:
    one = GlobalBatchNorm.like(norm())
    one(rows())
    one(rows() * float("nan"))
    one.eval()(rows())
    assert torch.equal(one.running_mean, torch.zeros(CHANNELS, dtype=torch.float64))
    one.train()(rows())
    one.keep_statistics()
    assert torch.isfinite(one.running_mean).all()
    assert int(one.num_batches_tracked) == 1


def test_half_precision_is_normalised_in_full() -> None:
    one = GlobalBatchNorm.like(nn.BatchNorm2d(CHANNELS))
    found = one(rows().bfloat16())
    assert found.dtype == torch.bfloat16
    assert float(found.detach().float().mean().abs()) < 1e-2
