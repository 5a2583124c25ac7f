"""AdamW with decay groups, and the names of its state for checkpoints."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from pretrain_api.types.training import AdamW as AdamWSpec


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Those that the optimizer changes, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def decay_groups(model: nn.Module) -> tuple[list[str], list[str]]:
    """Names of the trained parameters with and without weight decay.

    Matrices decay. Embeddings, norms and biases do not: shrinking them moves activations without regularising a map.
    An output matrix tied to the embedding counts as the embedding, and so do the places and the class token of images,
    [1, tokens, width].
    """
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    with_decay, without = list[str](), list[str]()
    for name, parameter in trained_parameters(model).items():
        is_embedding = id(parameter) in embeddings or (parameter.ndim == 3 and len(parameter) == 1)
        decays = parameter.ndim >= 2 and not is_embedding
        (with_decay if decays else without).append(name)
    return with_decay, without


def build(model: nn.Module, spec: AdamWSpec) -> AdamW:
    """The optimizer with its state in place (zeros), so that a checkpoint can be loaded into it."""
    parameters = trained_parameters(model)
    with_decay, without = decay_groups(model)
    groups = [
        {"params": [parameters[n] for n in names], "weight_decay": decay}
        for names, decay in ((with_decay, spec.weight_decay), (without, 0.0))
        if names
    ]
    optimizer = AdamW(groups, lr=spec.learning_rate, betas=(spec.beta1, spec.beta2), eps=spec.epsilon, fused=True)
    for parameter in parameters.values():
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def set_learning_rate(optimizer: AdamW, rate: float) -> None:
    """The rate of the next update, for all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def state_tensors(model: nn.Module, optimizer: AdamW) -> dict[str, Tensor]:
    """Moments by name, `optimizer.exp_avg.<parameter>` and so on. The tensors themselves, not copies."""
    return {
        f"optimizer.{key}.{name}": optimizer.state[parameter][key]
        for name, parameter in trained_parameters(model).items()
        for key in ("exp_avg", "exp_avg_sq")
    }


def updates(optimizer: AdamW) -> int:
    """Updates made so far. The same for every parameter."""
    return int(next(iter(_steps(optimizer))).item())


def set_updates(optimizer: AdamW, number: int) -> None:
    for step in _steps(optimizer):
        step.fill_(number)


def _steps(optimizer: AdamW) -> Iterable[Tensor]:
    return (state["step"] for state in optimizer.state.values())
