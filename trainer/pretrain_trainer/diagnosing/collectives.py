"""An all-reduce between processes of this machine, by the library that training uses: NCCL between GPUs, Gloo on CPUs.

`python -m pretrain_trainer.diagnosing.collectives RANK WORLD FILE` is one rank; rank 0 prints what it measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

BYTES = 64 << 20
_REPEATS = 5
_SECONDS = 90.0
"""For all of it, loading torch included."""


@dataclass(frozen=True)
class Result:
    """What an all-reduce of BYTES came to."""

    backend: str
    """nccl or gloo."""
    bytes_per_second: float = 0.0
    """Bus bandwidth of the best of some repeats: bytes x 2 (n - 1) / n / seconds for n ranks, as nccl-tests count (its
    doc/PERFORMANCE.md); for one rank bytes / seconds."""
    version: str = ""
    """Of NCCL; Gloo has none of its own."""
    error: str = ""
    """The last line that a rank said; empty when all went well."""


def measured(ranks: int) -> Result:
    """Start the ranks, one process each, and wait for their answer."""
    import torch

    backend = "nccl" if torch.cuda.is_available() else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        programs = [
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(rank), str(ranks), store],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(ranks)
        ]
        return _answer(programs, backend)


def _answer(programs: list[subprocess.Popen[str]], backend: str) -> Result:
    end = time.monotonic() + _SECONDS
    said: list[tuple[str, str]] = []
    try:
        said += [program.communicate(timeout=max(0.1, end - time.monotonic())) for program in programs]
    except subprocess.TimeoutExpired:
        return Result(backend, error=f"no answer within {_SECONDS:.0f} s.")
    finally:
        for program in programs:
            program.kill()
            program.wait()
    failed = [error for program, (_, error) in zip(programs, said, strict=True) if program.returncode]
    if failed:
        lines = failed[0].strip().splitlines()
        return Result(backend, error=lines[-1] if lines else "without a word.")
    return Result(**json.loads(said[0][0]))


def _rank(rank: int, ranks: int, store: str) -> Result:
    import torch
    from torch import distributed

    on_gpu = torch.cuda.is_available()
    backend = "nccl" if on_gpu else "gloo"
    device = torch.device("cuda", rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    limit = timedelta(seconds=_SECONDS)
    distributed.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=ranks, timeout=limit)
    best = float("inf")
    for _ in range(_REPEATS):
        values = torch.full((BYTES // 4,), float(rank), dtype=torch.float32, device=device)
        distributed.barrier()
        start = time.monotonic()
        distributed.all_reduce(values)
        total = values[-1].item()  # waits for the device
        best = min(best, time.monotonic() - start)
        if total != ranks * (ranks - 1) / 2:
            raise ArithmeticError(f"rank {rank}: the sum of all ranks' numbers is {total}.")
    distributed.destroy_process_group()
    moved = BYTES * (2 * (ranks - 1) / ranks if ranks > 1 else 1)
    return Result(backend, moved / best, _nccl_version() if on_gpu else "")


def _nccl_version() -> str:
    import torch

    return "NCCL " + ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    print(json.dumps(asdict(_rank(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))))  # noqa: T201 - its answer
