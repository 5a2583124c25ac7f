"""What a stage's program is on this machine: its command line and environment, as functions of the job."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pretrain_api import layout
from pretrain_api.events import ENV_EVENTS, ENV_OUTCOME
from pretrain_api.metrics import ENV_FOLDER
from pretrain_api.stages import Stage

EVENTS, OUTCOME = layout.EVENTS, "outcome.json"
"""Files in a program's folder: how far it is, and how it ended by its own word."""
_PROGRAM = "pretrain_trainer"


@dataclass(frozen=True)
class Follows:
    """What an agent needs to be told of rosters."""

    worlds: int
    """Descriptor of the pipe that they come out of."""
    uid: str
    """What it is called in them."""
    attempt: int
    """The start of training that they belong to."""


def command(
    stage: Stage, job_file: Path, upstream: Mapping[Stage, str], processes: int, follows: Follows | None = None
) -> list[str]:
    """The command line of a stage; of training, that of the agent of a worker's ranks."""
    arguments = ["--stage", stage.value, "--job", str(job_file)]
    for name, fingerprint in upstream.items():
        arguments += ["--upstream", f"{name.value}={fingerprint}"]
    if stage is not Stage.TRAIN:
        return [sys.executable, "-m", _PROGRAM, *arguments]
    own = ["--ranks", str(processes)]
    if follows:
        own += ["--worlds", str(follows.worlds), "--uid", follows.uid, "--attempt", str(follows.attempt)]
    return [sys.executable, "-m", f"{_PROGRAM}.agent", *own, "--", *arguments]


def environment(stage: Stage, folder: Path, processes: int, cores: int, metrics: Path | None) -> dict[str, str]:
    """The environment of a stage: this one, the two files, and for training a fair share of threads for each of so many
    ranks of all workers, and where they write their figures for Prometheus, if anywhere."""
    own = {**os.environ, ENV_EVENTS: str(folder / EVENTS), ENV_OUTCOME: str(folder / OUTCOME), "PYTHONUNBUFFERED": "1"}
    if stage is Stage.TRAIN:
        own.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
        own |= {ENV_FOLDER: str(metrics)} if metrics else {}
    # A thread that waits for a preempted one must not hold its core: with anything else running here, the default of
    # 300,000 spins made a small training ten times slower (205 s instead of 22); 1,000 cost a few per cent when idle.
    own.setdefault("GOMP_SPINCOUNT", "1000")
    return own


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
