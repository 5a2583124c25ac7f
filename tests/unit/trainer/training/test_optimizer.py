import pytest
import torch
from torch import nn

from pretrain_api.types.training import AdamW
from pretrain_trainer.training import optimizer
from pretrain_trainer.training.gradients import clip_factor


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.norm = nn.LayerNorm(3)
        self.middle = nn.Linear(3, 3)
        self.head = nn.Linear(3, 7, bias=False)
        self.head.weight = self.embedding.weight


def test_only_matrices_that_are_no_embeddings_decay() -> None:
    assert optimizer.decay_groups(Tied()) == (
        ["middle.weight"],
        ["embedding.weight", "norm.weight", "norm.bias", "middle.bias"],
    )


def test_a_step_without_gradient_moves_only_what_decays() -> None:
    model = Tied()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    adamw = optimizer.build(model, AdamW(learning_rate=0.5, weight_decay=0.1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    adamw.step()
    for name, parameter in model.named_parameters():
        expected = before[name] * (0.95 if name == "middle.weight" else 1)
        torch.testing.assert_close(parameter.detach(), expected)


def test_the_state_is_there_before_the_first_step_and_counts_updates() -> None:
    model = Tied()
    adamw = optimizer.build(model, AdamW())
    assert set(optimizer.state_tensors(model, adamw)) == {
        f"optimizer.{key}.{name}" for key in ("exp_avg", "exp_avg_sq") for name, _ in model.named_parameters()
    }
    optimizer.set_updates(adamw, 5)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    adamw.step()
    assert optimizer.updates(adamw) == 6


@pytest.mark.parametrize(("norm", "bound", "factor"), [(4.0, 1.0, 0.25), (0.5, 1.0, 1.0), (4.0, 0.0, 1.0)])
def test_gradients_above_the_bound_are_scaled_down_to_it(norm: float, bound: float, factor: float) -> None:
    assert clip_factor(norm, bound) == factor
