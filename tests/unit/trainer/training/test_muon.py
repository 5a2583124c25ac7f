"""Muon is PyTorch's own, in float32 on a CPU, and its steps turn a matrix in all directions alike."""

import pytest
import torch

from pretrain_trainer.training.muon import Muon, orthogonal


def a_matrix(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("shape", [(48, 48), (96, 32), (32, 96)])
class TestOrthogonal:
    def test_singular_values_are_near_one(self, shape: tuple[int, int]) -> None:
        values = torch.linalg.svdvals(orthogonal(a_matrix(*shape)))
        assert values.min() > 0.6
        assert values.max() < 1.3

    def test_directions_stay(self, shape: tuple[int, int]) -> None:
        matrix = a_matrix(*shape)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        along = left.T @ orthogonal(matrix) @ right.T
        torch.testing.assert_close(along, torch.diag(along.diagonal()), rtol=0, atol=1e-4)

    def test_its_size_does_not_matter(self, shape: tuple[int, int]) -> None:
        torch.testing.assert_close(orthogonal(1000 * a_matrix(*shape)), orthogonal(a_matrix(*shape)))


def test_of_nothing_is_nothing() -> None:
    assert not orthogonal(torch.zeros(4, 8)).any()


@pytest.mark.parametrize("shape", [(48, 48), (96, 32), (32, 96)])
def test_some_steps_are_those_of_pytorch(shape: tuple[int, int]) -> None:
    ours, theirs = (torch.nn.Parameter(a_matrix(*shape)) for _ in range(2))
    own = Muon([{"params": [ours]}], rate=0.02, momentum=0.9, weight_decay=0.1)
    other = torch.optim.Muon([theirs], lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for number in range(5):
        for parameter in (ours, theirs):
            parameter.grad = a_matrix(*shape).roll(number, 0) + parameter.detach()
        own.step()
        other.step()
    moved = (theirs - a_matrix(*shape)).norm()
    assert (ours - theirs).norm() < 0.02 * moved  # the difference of bfloat16


def test_a_parameter_without_gradient_stays() -> None:
    still = torch.nn.Parameter(a_matrix(8, 8))
    Muon([{"params": [still]}], rate=1.0, momentum=0.9, weight_decay=0.1).step()
    torch.testing.assert_close(still.detach(), a_matrix(8, 8))
