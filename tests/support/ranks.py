"""Ranks of a world as forks of the test, joined by Gloo: for what collectives compute."""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def run(world: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns on each rank, by rank. One that fails shows its traceback, and the others are ended."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Some test runners have threads; none of theirs is needed in the forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        context = multiprocessing.get_context("fork")
        ranks = [context.Process(target=_rank, args=(rank, world, Path(folder), work)) for rank in range(world)]
        for each in ranks:
            each.start()
        try:
            for each in ranks:
                each.join(120)
                assert each.exitcode == 0, f"a rank ended with {each.exitcode}"
        finally:
            for each in ranks:
                each.kill()
                each.join()
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(world)]


def _rank(rank: int, world: int, folder: Path, work: Callable[[int], Any]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    (folder / str(rank)).write_bytes(pickle.dumps(work(rank)))
    dist.barrier()
    dist.destroy_process_group()
