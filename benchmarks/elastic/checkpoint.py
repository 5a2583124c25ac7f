"""What a checkpoint costs the training that goes on meanwhile: how long a save holds it up, and what writing takes from its
steps; beside a bare copy of the state in memory and PyTorch's own asynchronous save (DCP).

    .venv/bin/python benchmarks/elastic/checkpoint.py --output benchmarks/elastic/results/checkpoint.json

One process, a state of fp32 tensors, steps of matrix products. In each round every contender has a turn: some steps, a save,
steps until it is written, and some more. The stall is the time in the call that saves; the drag, how much longer the steps
took that ran while it was written, as a share of what they would have taken.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed.checkpoint as dcp

from pretrain_api.storage import Storage
from pretrain_api.types.training import Checkpoint
from pretrain_trainer.training import world
from pretrain_trainer.training.checkpoints import Checkpoints, Position

EVERY_SECONDS = Checkpoint().every_seconds
_QUIET_STEPS = 5


class Saver(Protocol):
    """A way to save."""

    def save(self) -> None:
        """Begin; training goes on when this returns."""

    def is_done(self) -> bool: ...


class Ours:
    """What Train does."""

    def __init__(self, state: dict[str, torch.Tensor], folder: Path, joined: world.World) -> None:
        self._state, self._step = state, 0
        self._checkpoints = Checkpoints(Storage(str(folder)), "bench", Checkpoint(keep_last=1), joined)

    def save(self) -> None:
        self._step += 1
        self._checkpoints.save(self._state, Position(step=self._step), (), [], final=False)

    def is_done(self) -> bool:
        self._checkpoints.poll()
        return not self._checkpoints.is_saving


class Dcp:
    """`torch.distributed.checkpoint.async_save` with what it takes by default: a thread that writes files."""

    def __init__(self, state: dict[str, torch.Tensor], folder: Path, joined: world.World) -> None:
        self._state, self._folder, self._group, self._step = state, folder, joined.saving, 0
        self._future: Any = None

    def save(self) -> None:
        shutil.rmtree(self._folder / str(self._step), ignore_errors=True)  # ours keeps one, too
        self._step += 1
        target = str(self._folder / str(self._step))
        self._future = dcp.async_save(self._state, checkpoint_id=target, process_group=self._group)

    def is_done(self) -> bool:
        return bool(self._future.done())


@dataclass
class Turn:
    """Seconds."""

    stall: float
    writing: float
    drag: float


def turn(saver: Saver, step: Callable[[], None]) -> Turn:
    """Some steps, a save, steps until it is written."""
    quiet = [_timed(step) for _ in range(_QUIET_STEPS)]
    began = time.perf_counter()
    saver.save()
    stall = time.perf_counter() - began
    during = []
    while not saver.is_done():
        during.append(_timed(step))
    writing = time.perf_counter() - began
    quiet += [_timed(step) for _ in range(_QUIET_STEPS)]
    usual = statistics.median(quiet)
    return Turn(stall, writing, sum(during) / (usual * len(during)) - 1 if during else 0.0)


def bare_copy(state: dict[str, torch.Tensor], copies: dict[str, torch.Tensor]) -> float:
    """Copy the state over an older copy: the least that any asynchronous save must do."""
    began = time.perf_counter()
    for name, tensor in state.items():
        copies[name].copy_(tensor)
    return time.perf_counter() - began


def _timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> None:
    """Run the rounds and print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=512, help="of state")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    tensors = options.mebibytes // 8
    state = {f"model.{n}": torch.randn(1024, 2048) for n in range(tensors)}
    copies = {name: tensor.clone() for name, tensor in state.items()}
    one, other = torch.randn(1024, 1024), torch.randn(1024, 1024)

    def step() -> None:
        for _ in range(4):
            torch.mm(one, other)

    turns: dict[str, list[Turn]] = {"ours": [], "dcp": []}
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder, world.join(1) as joined:
        savers: dict[str, Saver] = {
            "ours": Ours(state, Path(folder) / "ours", joined),
            "dcp": Dcp(state, Path(folder) / "dcp", joined),
        }
        for number in range(options.rounds + 1):  # in the first, memory is allocated
            copied = bare_copy(state, copies)
            found = {name: turn(saver, step) for name, saver in savers.items()}
            if number:
                bare.append(copied)
                for name, one_turn in found.items():
                    turns[name].append(one_turn)
    result: dict[str, Any] = {"bareCopySeconds": _spread(bare)}
    print(f"state {options.mebibytes} MiB, bare copy {_shown(result['bareCopySeconds'])} s\n")
    print(
        "| | stall, s | to a bare copy | of wall time, every 300 s | written after, s | drag on steps meanwhile |\n|---|---|---|---|---|---|"
    )
    for name, some in turns.items():
        figures = {
            "stallSeconds": _spread([t.stall for t in some]),
            "stallToBareCopy": _spread([t.stall / b for t, b in zip(some, bare, strict=True)]),
            "stallShareOfWallTime": statistics.median(t.stall for t in some) / EVERY_SECONDS,
            "writingSeconds": _spread([t.writing for t in some]),
            "drag": _spread([t.drag for t in some]),
        }
        result[name] = figures
        print(
            f"| {name} | {_shown(figures['stallSeconds'])} | {_shown(figures['stallToBareCopy'])} | "
            f"{figures['stallShareOfWallTime']:.2%} | {_shown(figures['writingSeconds'])} | {_shown(figures['drag'])} |"
        )
    print("\ntargets: stall <= 0.5 % of wall time and <= 1.2 of a bare copy")
    if options.output:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()}
        whole = {
            "subject": "what a checkpoint costs the training that goes on meanwhile",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine,
            "torch": torch.__version__,
            "settings": {"mebibytes": options.mebibytes, "rounds": options.rounds},
            "results": result,
        }
        options.output.write_text(json.dumps(whole, indent=1) + "\n")


def _spread(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": middle, "low": low, "high": high}


def _shown(spread: dict[str, float]) -> str:
    return f"{spread['median']:.3g} ({spread['low']:.3g}-{spread['high']:.3g})"


if __name__ == "__main__":
    main()
