"""How a model is laid over the ranks: FSDP2 sharding, activation checkpointing, compilation."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from transformers import PreTrainedModel

from pretrain_api.errors import UserError
from pretrain_trainer.training.world import World

_LOGGER = logging.getLogger(__name__)


def blocks(module: nn.Module) -> list[nn.Module]:
    """The repeated layers of the models in what is trained: the children of the longest list of modules of each, of its
    encoder's and its decoder's where it has both."""
    parts = list[nn.Module]()
    for model in models_within(module):
        both = model.config.is_encoder_decoder
        parts += [model.get_encoder(), model.get_decoder()] if both else [model]
    return [block for part in parts for block in max(_lists(part), key=len, default=[])]


def models_within(module: nn.Module) -> Iterator[Any]:
    """The models of transformers in what is trained, a student and its teacher, say; not those within another."""
    if isinstance(module, PreTrainedModel):
        yield module
        return
    for child in module.children():
        yield from models_within(child)


def _lists(module: nn.Module) -> Iterator[list[nn.Module]]:
    """The lists of modules that are not within another: a layer of T5 is a list itself, longer than that of few layers."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield list(child)
        else:
            yield from _lists(child)


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


def recompute_activations(module: nn.Module) -> None:
    """Keep only each layer's input and compute the rest again in the backward pass. UserError where the model cannot."""
    for model in models_within(module):
        try:
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        except ValueError as error:
            raise UserError(
                "activations-not-recomputed",
                "spec.training.activationCheckpointing",
                f"full is written, but the library's {type(model).__name__} cannot compute its activations again.",
                "Write none, and a smaller microBatchSize or more ranks where memory is short.",
            ) from error


def compile_blocks(model: nn.Module) -> bool:
    """Compile each repeated layer in place; False, with a log line, where there is no compiler to do it with."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        _LOGGER.warning("spec.training.compile: there is no C++ compiler (%s); training goes on uncompiled", compiler)
        return False
    for block in blocks(model):
        block.compile()
    return True
