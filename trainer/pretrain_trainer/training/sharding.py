"""How a model is laid over the ranks: FSDP2 sharding, activation checkpointing, compilation."""

from __future__ import annotations

import logging
import os
import shutil
from typing import Literal

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from pretrain_trainer.training.world import World

_LOGGER = logging.getLogger(__name__)


def blocks(model: nn.Module) -> list[nn.Module]:
    """The repeated layers of a model: the children of its longest list of modules."""
    lists = [list(m.children()) for m in model.modules() if isinstance(m, nn.ModuleList)]
    return max(lists, key=len, default=[])


def shard(model: nn.Module, world: World, precision: Literal["bf16", "fp32"]) -> None:
    """Divide the parameters over the shards of the mesh, layer by layer; replicas of the groups are kept in step."""
    if world.mesh is None:
        return
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision == "bf16" else None, reduce_dtype=torch.float32
    )
    for module in (*blocks(model), model):
        fully_shard(module, mesh=world.mesh, mp_policy=policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            # Gloo has no averaging reduction; a factor of 1 then means a plain sum.
            module.set_force_sum_reduction_for_comms(True)


def recompute_activations(model: nn.Module) -> None:
    """Keep only each layer's input and compute the rest again in the backward pass."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]


def compile_blocks(model: nn.Module) -> bool:
    """Compile each repeated layer in place; False, with a log line, where there is no compiler to do it with."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        _LOGGER.warning("spec.training.compile: there is no C++ compiler (%s); training goes on uncompiled", compiler)
        return False
    for block in blocks(model):
        block.compile()
    return True
