import math

import lightly.utils.lars
import pytest
import torch
from torch import nn

from pretrain_api.types.training import AdamW, Lars, Muon
from pretrain_api.types.training import Optimizer as OptimizerSpec
from pretrain_trainer.training import optimizer
from pretrain_trainer.training.gradients import clip_factor
from pretrain_trainer.training.optimizer import Optimizer

KINDS = {
    "adamw": OptimizerSpec(adamw=AdamW()),
    "muon": OptimizerSpec(muon=Muon()),
    "lars": OptimizerSpec(lars=Lars()),
}


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.norm = nn.LayerNorm(3)
        self.middle = nn.Linear(3, 3)
        self.head = nn.Linear(3, 7, bias=False)
        self.head.weight = self.embedding.weight


class Untied(nn.Module):
    """A hidden matrix, a kernel of convolutions, and an output matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Linear(3, 5)
        self.kernel = nn.Conv2d(3, 2, 2)
        self.head = nn.Linear(5, 7, bias=False)

    def get_output_embeddings(self) -> nn.Module:
        return self.head


def learn(model: nn.Module, made: Optimizer, updates: int) -> None:
    """So many updates by gradients that differ from one to the next."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(updates):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        made.step()


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_only_matrices_that_are_no_embeddings_decay() -> None:
    assert optimizer.decay_groups(Tied()) == (
        ["middle.weight"],
        ["embedding.weight", "norm.weight", "norm.bias", "middle.bias"],
    )


def test_a_step_without_gradient_moves_only_what_decays() -> None:
    model = Tied()
    before = weights(model)
    adamw = optimizer.build(model, OptimizerSpec(adamw=AdamW(learning_rate=0.5, weight_decay=0.1)), 1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    adamw.step()
    for name, after in weights(model).items():
        torch.testing.assert_close(after, before[name] * (0.95 if name == "middle.weight" else 1))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("adamw", {"exp_avg": "all", "exp_avg_sq": "all"}),
        ("lars", {"momentum_buffer": "all"}),
        ("muon", {"momentum_buffer": "middle.weight", "exp_avg": "the rest", "exp_avg_sq": "the rest"}),
    ],
)
def test_the_state_is_there_before_the_first_step(kind: str, expected: dict[str, str]) -> None:
    model = Untied()
    names = {"all": set(weights(model)), "middle.weight": {"middle.weight"}}
    names["the rest"] = names["all"] - names["middle.weight"]
    state = optimizer.build(model, KINDS[kind], 256).state_tensors()
    assert set(state) == {f"optimizer.{key}.{name}" for key, who in expected.items() for name in names[who]}


@pytest.mark.parametrize("kind", KINDS)
def test_another_optimizer_with_its_state_goes_on_with_the_same_bits(kind: str) -> None:
    torch.manual_seed(0)
    one, other = Untied(), Untied()
    first, second = (optimizer.build(model, KINDS[kind], 256) for model in (one, other))
    learn(one, first, 3)
    other.load_state_dict(one.state_dict())
    for name, tensor in second.state_tensors().items():
        tensor.copy_(first.state_tensors()[name])
    second.set_updates(3)
    before = weights(one)
    learn(one, first, 2)
    learn(other, second, 2)
    for name, after in weights(one).items():
        assert not torch.equal(after, before[name])
        assert torch.equal(after, weights(other)[name])


def test_lars_makes_the_steps_of_lightly() -> None:
    torch.manual_seed(0)
    model, reference = Untied(), Untied()
    reference.load_state_dict(model.state_dict())
    made = optimizer.build(model, OptimizerSpec(lars=Lars(learning_rate=0.3, momentum=0.9, weight_decay=1e-2)), 512)
    made.set_learning_rate(made.peak)
    adapted = [p for p in reference.parameters() if p.ndim > 1]
    plain = [p for p in reference.parameters() if p.ndim == 1]
    theirs = lightly.utils.lars.LARS(
        [{"params": adapted, "weight_decay": 1e-2}, {"params": plain, "weight_decay": 0.0}], lr=0.6, momentum=0.9
    )
    learn(model, made, 5)
    learn(reference, theirs, 5)  # type: ignore[arg-type]
    for name, after in weights(model).items():
        torch.testing.assert_close(after, weights(reference)[name], rtol=1e-5, atol=1e-7)


def test_the_rate_of_lars_grows_with_the_batch() -> None:
    assert optimizer.build(Untied(), OptimizerSpec(lars=Lars(learning_rate=0.3)), 64).peak == pytest.approx(0.075)


def test_lars_moves_what_is_zero_or_has_no_gradient() -> None:
    model = nn.Linear(3, 2, bias=False)
    lars = optimizer.build(model, OptimizerSpec(lars=Lars(learning_rate=1, momentum=0, weight_decay=0.5)), 256)
    nn.init.zeros_(model.weight)
    model.weight.grad = torch.ones_like(model.weight)
    lars.step()
    assert torch.equal(model.weight, -torch.ones(2, 3))
    model.weight.grad = torch.zeros_like(model.weight)
    lars.step()
    assert torch.equal(model.weight, -torch.ones(2, 3) / 2)


def test_muon_turns_hidden_matrices_by_steps_as_large_as_those_of_adamw() -> None:
    torch.manual_seed(0)
    model = Untied()
    before = model.middle.weight.detach().clone()
    muon = optimizer.build(model, OptimizerSpec(muon=Muon(learning_rate=1, weight_decay=0)), 256)
    learn(model, muon, 1)
    # Newton-Schulz leaves singular values between about 0.7 and 1.2; 0.2 x sqrt(5) makes them AdamW's size.
    values = torch.linalg.svdvals((model.middle.weight.detach() - before) / (0.2 * math.sqrt(5)))
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.parametrize(("norm", "bound", "factor"), [(4.0, 1.0, 0.25), (0.5, 1.0, 1.0), (4.0, 0.0, 1.0)])
def test_gradients_above_the_bound_are_scaled_down_to_it(norm: float, bound: float, factor: float) -> None:
    assert clip_factor(norm, bound) == factor
