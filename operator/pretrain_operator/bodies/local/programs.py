"""What a stage's program is on this machine: its command line and environment, as functions of the job."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pretrain_api.events import ENV_EVENTS, ENV_OUTCOME
from pretrain_api.metrics import ENV_FOLDER
from pretrain_api.stages import Stage

_PROGRAM = "pretrain_trainer"


def command(stage: Stage, job_file: Path, upstream: Mapping[Stage, str], processes: int) -> list[str]:
    """The command line of a stage; of training, that of the agent of its ranks."""
    arguments = ["--stage", stage.value, "--job", str(job_file)]
    for name, fingerprint in upstream.items():
        arguments += ["--upstream", f"{name.value}={fingerprint}"]
    if stage is not Stage.TRAIN:
        return [sys.executable, "-m", _PROGRAM, *arguments]
    return [sys.executable, "-m", f"{_PROGRAM}.agent", "--ranks", str(processes), "--", *arguments]


def environment(
    stage: Stage, events: Path, outcome: Path, processes: int, cores: int, metrics: Path | None
) -> dict[str, str]:
    """The environment of a stage: this one, the two files, and for training a fair share of threads, and where its ranks
    write their figures for Prometheus, if anywhere."""
    own = {**os.environ, ENV_EVENTS: str(events), ENV_OUTCOME: str(outcome), "PYTHONUNBUFFERED": "1"}
    if stage is Stage.TRAIN:
        own.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
        own |= {ENV_FOLDER: str(metrics)} if metrics else {}
    # A thread that waits for a preempted one must not hold its core: with anything else running here, the default of
    # 300,000 spins made a small training ten times slower (205 s instead of 22); 1,000 cost a few per cent when idle.
    own.setdefault("GOMP_SPINCOUNT", "1000")
    return own
