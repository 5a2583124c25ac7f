"""Batch normalisation by the statistics of the global batch, whatever part of it each rank has (on any device; PyTorch's
SyncBatchNorm needs an accelerator)."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from pretrain_trainer.agent.board import Phase, at


class GlobalBatchNorm(_BatchNorm):
    """BatchNorm of any number of dimensions (Ioffe and Szegedy 2015, arXiv:1502.03167), float [n, channels, ...]; ranks may
    have different n, and some 0. All ranks call it together while they train.

    Running statistics change in `keep_statistics`, not in the forward pass: a step that is left out, since it is not finite, leaves
    no trace in them.
    """

    def __init__(self, features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(features, eps, momentum)
        self._seen: tuple[Tensor, Tensor] | None = None

    @classmethod
    def like(cls, norm: _BatchNorm) -> GlobalBatchNorm:
        """One with the parameters and the running statistics of a norm of PyTorch's."""
        found = cls(norm.num_features, norm.eps, norm.momentum)
        found._parameters.update(norm._parameters)
        found._buffers.update(norm._buffers)
        return found

    def forward(self, input: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        if not self.training:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        if _ranks() == 1 and input.numel() > input.shape[1]:  # PyTorch refuses a single value per channel
            seen = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
            found = functional.batch_norm(input, *seen, self.weight, self.bias, True, 1.0, self.eps)
        else:
            found, *seen = _Normalised.apply(input, self.weight, self.bias, self.eps)
        self._seen = seen[0].detach(), seen[1].detach()
        return found

    @torch.no_grad()
    def keep_statistics(self) -> None:
        """Move the running statistics towards those of the last forward pass."""
        if self._seen is None:
            return
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(self._seen[0].to(self.running_mean), self.momentum)
        self.running_var.lerp_(self._seen[1].to(self.running_var), self.momentum)
        self.num_batches_tracked += 1
        self._seen = None


def over_ranks(module: nn.Module) -> None:
    """Put a GlobalBatchNorm in the place of each batch norm within."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, GlobalBatchNorm):
            setattr(module, name, GlobalBatchNorm.like(child))
        else:
            over_ranks(child)


def keep_statistics(module: nn.Module) -> None:
    """Of all global batch norms within."""
    for norm in module.modules():
        if isinstance(norm, GlobalBatchNorm):
            norm.keep_statistics()


class _Normalised(torch.autograd.Function):
    """What is normalised, the mean and the unbiased variance of the global batch, float [channels]. The gradients of weight
    and bias are those of this rank's part; gradients are summed over ranks later, like those of all parameters."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        x = given if given.dtype == torch.float64 else given.float()
        channels = x.shape[1]
        count = _summed(x.new_tensor([x.numel() // channels]))
        mean = _summed(_by_channel(x)) / count.clamp(min=1)
        x = x - _spread(mean, x)
        # From differences, not from squares of large numbers: their mean may be far from zero.
        squares = _summed(_by_channel(x.square()))
        inverse = torch.rsqrt(squares / count.clamp(min=1) + eps)
        x = x * _spread(inverse, x)
        ctx.save_for_backward(x, weight, inverse, count)
        variance = squares / (count - 1).clamp(min=1)
        ctx.mark_non_differentiable(mean, variance)
        return (x * _spread(weight, x) + _spread(bias, x)).to(given.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, inverse, count = ctx.saved_tensors
        gradient = gradients[0].to(x.dtype)
        own = torch.cat([_by_channel(gradient), _by_channel(gradient * x)])
        of_bias, of_weight = own.clone().chunk(2)
        mean, slope = (_summed(own) / count.clamp(min=1)).chunk(2)
        change = gradient - _spread(mean, x) - x * _spread(slope, x)
        return (change * _spread(weight * inverse, x)).to(gradients[0].dtype), of_weight, of_bias, None


def _by_channel(x: Tensor) -> Tensor:
    return x.sum(dim=[dimension for dimension in range(x.ndim) if dimension != 1])


def _spread(values: Tensor, x: Tensor) -> Tensor:
    """[channels] as it is applied to [n, channels, ...]."""
    return values.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2))


def _ranks() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def _summed(values: Tensor) -> Tensor:
    """Over ranks, in place."""
    if _ranks() > 1:
        with at(Phase.TOGETHER):
            dist.all_reduce(values)
    return values
