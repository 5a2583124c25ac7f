"""Ranks as processes that talk over Gloo, where what is tested are collectives themselves.

They are forks of a server that has imported PyTorch and has computed nothing: after a backward pass a fork can make none.
"""

from __future__ import annotations

import importlib.util
import io
import multiprocessing
import tempfile
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

_TIMEOUT = timedelta(seconds=60)
_PRELOADED = [
    "pytest", "sklearn.datasets", "transformers.models.resnet.modeling_resnet",
    "transformers.models.vit.modeling_vit", "pretrain_trainer.objectives.simclr", "torch.distributed.fsdp",
]  # fmt: skip


def on_ranks(world: int, file: str, function: str, *arguments: Any) -> list[Any]:
    """What a test file's function gives on each rank, by rank. It is called with the rank, the number of ranks and the
    arguments, with a default process group; what it gives is tensors, as torch.save takes them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        pipes = [context.Pipe(duplex=False) for _ in range(world)]
        ranks = [
            context.Process(target=_rank, args=(rank, world, folder, file, function, arguments, pipes[rank][1]))
            for rank in range(world)
        ]
        try:
            for rank in ranks:
                rank.start()
            for _, told in pipes:
                told.close()
            found = [torch.load(io.BytesIO(heard.recv_bytes())) for heard, _ in pipes]
        finally:
            for rank in ranks:
                rank.kill()
                rank.join()
    for number, result in enumerate(found):
        assert not isinstance(result, str), f"rank {number}: {result}"
    return found


def _rank(rank: int, world: int, folder: str, file: str, function: str, arguments: tuple[Any, ...], told: Any) -> None:
    torch.set_num_threads(1)
    answer = io.BytesIO()
    try:
        spec = importlib.util.spec_from_file_location("ranks", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        store = dist.FileStore(str(Path(folder) / "store"), world)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=_TIMEOUT)
        torch.save(getattr(module, function)(rank, world, *arguments), answer)
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:  # noqa: BLE001 - told to the test
        answer = io.BytesIO()
        torch.save(traceback.format_exc(), answer)
    told.send_bytes(answer.getvalue())
