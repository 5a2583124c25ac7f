"""The optimizers behind one interface: which parameters each part of them changes, and the names of its state for checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from pretrain_api.types.training import AdamW as AdamWSpec
from pretrain_api.types.training import Lars as LarsSpec
from pretrain_api.types.training import Muon as MuonSpec
from pretrain_api.types.training import Optimizer as OptimizerSpec
from pretrain_trainer.training.lars import Lars
from pretrain_trainer.training.muon import Muon

_LARS_BATCH = 256
"""Samples that a rate of LARS is stated for; larger batches have it in proportion (arXiv:1706.02677)."""


class Optimizer:
    """What changes the parameters: algorithms of PyTorch, each for some of them, with their state in place (zeros), so that
    a checkpoint can be loaded into it."""

    def __init__(self, model: nn.Module, parts: Sequence[torch.optim.Optimizer], peak: float) -> None:
        self._parameters, self._parts = trained_parameters(model), parts
        self.peak = peak
        """The highest learning rate of the run."""

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the next update, for all parameters."""
        for group in (group for part in self._parts for group in part.param_groups):
            group["lr"] = rate

    def step(self) -> None:
        """Change the parameters by their gradients."""
        for part in self._parts:
            part.step()

    def state_tensors(self) -> dict[str, Tensor]:
        """Moments by name, `optimizer.exp_avg.<parameter>` and so on. The tensors themselves, not copies."""
        state = self._state()
        return {
            f"optimizer.{key}.{name}": tensor
            for name, parameter in self._parameters.items()
            for key, tensor in state[parameter].items()
            if key != "step"
        }

    def set_updates(self, number: int) -> None:
        """How many were made so far, which AdamW's means go by."""
        for state in self._state().values():
            if "step" in state:
                state["step"].fill_(number)

    def _state(self) -> Mapping[Tensor, dict[str, Tensor]]:
        return {parameter: state for part in self._parts for parameter, state in part.state.items()}


def build(model: nn.Module, spec: OptimizerSpec, global_batch: int) -> Optimizer:
    """The one that the job asks for."""
    if spec.lars:
        return _lars(model, spec.lars, global_batch)
    if spec.muon:
        return _muon(model, spec.muon)
    assert spec.adamw is not None
    with_decay, without = decay_groups(model)
    return Optimizer(model, [_adamw(model, with_decay, without, spec.adamw)], spec.adamw.learning_rate)


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


def hidden_matrices(model: nn.Module) -> list[str]:
    """Names of the trained matrices that are neither embeddings nor a language model's output."""
    outputs = [getattr(m, "get_output_embeddings", lambda: None)() for m in model.modules()]
    kept_out = {id(p) for output in outputs if output is not None for p in output.parameters()}
    parameters = trained_parameters(model)
    return [n for n in decay_groups(model)[0] if parameters[n].ndim == 2 and id(parameters[n]) not in kept_out]


def _adamw(model: nn.Module, with_decay: Iterable[str], without: Iterable[str], spec: AdamWSpec) -> AdamW:
    groups = _groups(model, (with_decay, {"weight_decay": spec.weight_decay}), (without, {"weight_decay": 0.0}))
    optimizer = AdamW(groups, lr=spec.learning_rate, betas=(spec.beta1, spec.beta2), eps=spec.epsilon, fused=True)
    for parameter in (p for group in groups for p in group["params"]):
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def _muon(model: nn.Module, spec: MuonSpec) -> Optimizer:
    """Muon on hidden matrices, its steps scaled to the size of AdamW's, so that one learning rate does for both
    (arXiv:2502.16982, section 2.2); AdamW on the rest."""
    hidden = hidden_matrices(model)
    with_decay, without = decay_groups(model)
    rest = AdamWSpec(learning_rate=spec.learning_rate, weight_decay=spec.weight_decay)
    others = [name for name in with_decay if name not in set(hidden)]
    parts: list[torch.optim.Optimizer] = [_adamw(model, others, without, rest)] if others or without else []
    if groups := _groups(model, (hidden, {})):
        parts.append(Muon(groups, spec.learning_rate, spec.momentum, spec.weight_decay))
    return Optimizer(model, parts, spec.learning_rate)


def _lars(model: nn.Module, spec: LarsSpec, global_batch: int) -> Optimizer:
    peak = spec.learning_rate * global_batch / _LARS_BATCH
    names: tuple[list[str], list[str]] = ([], [])
    for name, parameter in trained_parameters(model).items():
        names[parameter.ndim < 2].append(name)  # biases and norms are vectors
    groups = _groups(model, (names[0], {"adapts": True}), (names[1], {"adapts": False}))
    return Optimizer(model, [Lars(groups, peak, spec.momentum, spec.weight_decay)], peak)


def _groups(model: nn.Module, *named: tuple[Iterable[str], Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As PyTorch takes them, of those that have parameters."""
    parameters = trained_parameters(model)
    found = [{"params": [parameters[name] for name in names], **settings} for names, settings in named]
    return [group for group in found if group["params"]]
