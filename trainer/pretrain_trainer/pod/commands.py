"""What the stage program is in a pod: its command line and environment, as functions of the pod's place."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pretrain_api.events import ENV_EVENTS, ENV_OUTCOME
from pretrain_api.stages import Stage


@dataclass(frozen=True)
class Place:
    """Which part of a stage this pod is."""

    stage: Stage
    job: Path
    upstream: Sequence[str]
    """STAGE=FINGERPRINT each."""
    attempt: int
    phase: str
    index: int
    parts: int


def command(place: Place, cores: int, scratch: Path) -> list[str]:
    """The command line of a stage other than Train, or of its phase."""
    own = ["--phase", place.phase, "--parts", str(place.parts), "--index", str(place.index)]
    own += ["--processes", str(cores), "--scratch", str(scratch)]
    return [sys.executable, "-m", "pretrain_trainer", *_arguments(place), *own]


def training(place: Place, uid: str, worlds: int, processes: int, scratch: Path) -> list[str]:
    """The command line of a training worker: the agent of its ranks. `worlds`: descriptor of the pipe that tells it who
    trains together."""
    agent = ["-m", "pretrain_trainer.agent", "--ranks", str(processes), "--worlds", str(worlds)]
    agent += ["--uid", uid, "--attempt", str(place.attempt)]
    return [sys.executable, *agent, "--", *_arguments(place), "--scratch", str(scratch)]


def _arguments(place: Place) -> list[str]:
    arguments = ["--stage", place.stage.value, "--job", str(place.job)]
    for pair in place.upstream:
        arguments += ["--upstream", pair]
    return arguments


def environment(
    own: Mapping[str, str], stage: Stage, events: Path, outcome: Path, processes: int, cores: int, scratch: Path
) -> dict[str, str]:
    """The environment of the stage program: the pod's, the two files, and for training a fair share of threads."""
    found = {**own, ENV_EVENTS: str(events), ENV_OUTCOME: str(outcome), "PYTHONUNBUFFERED": "1"}
    if stage is Stage.TRAIN:
        found.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
        # Its default place has the user's name in it, which a pod's user need not have.
        found.setdefault("TORCHINDUCTOR_CACHE_DIR", str(scratch / "inductor"))
    found.setdefault("GOMP_SPINCOUNT", "1000")  # a thread that waits for a preempted one must not hold its core
    return found
