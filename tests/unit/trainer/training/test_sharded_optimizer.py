"""Optimizers make the same steps where parameters are divided over ranks."""

import pytest
import torch
from support.rank_processes import on_ranks
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from pretrain_api.types.training import AdamW, Lars, Muon
from pretrain_api.types.training import Optimizer as OptimizerSpec
from pretrain_trainer.training import optimizer

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = {
    "adamw": OptimizerSpec(adamw=AdamW()),
    "muon": OptimizerSpec(muon=Muon()),
    "lars": OptimizerSpec(lars=Lars()),
}


def stepped(rank: int, world: int, kind: str) -> list[Tensor]:
    """Weights after three updates; divided over the ranks where there are several."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    if world > 1:
        fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    made = optimizer.build(model, KINDS[kind], 256)
    for number in range(3):
        torch.manual_seed(number)
        made.set_learning_rate(made.peak)
        model(torch.randn(4, 6)).square().mean().backward()
        made.step()
        for parameter in model.parameters():
            parameter.grad = None
    weights = [p.detach() for p in model.parameters()]
    return [p.full_tensor() if isinstance(p, DTensor) else p for p in weights]


@pytest.mark.parametrize("kind", KINDS)
def test_sharded_weights_are_those_of_one_rank(kind: str) -> None:
    alone = stepped(0, 1, kind)
    for rank in on_ranks(2, __file__, "stepped", kind):
        for found, expected in zip(rank, alone, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
