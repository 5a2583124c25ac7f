"""A run of Weights & Biases. Offline unless WANDB_MODE says otherwise: `wandb sync FOLDER/wandb/offline-run-*` sends it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import wandb

from pretrain_api.types import PretrainJob
from pretrain_trainer.tracking.tracker import Step, settings

_DEFAULT_PROJECT = "pretrain"


class WeightsAndBiases:
    """One run, with an id that follows from the job's storage, so that another export goes into the same one."""

    def __init__(self, folder: Path, job: PretrainJob, project: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(f"{job.metadata.name} {job.spec.storage.uri}".encode()).hexdigest()[:16]
        mode: Literal["online", "offline"] = (
            "online" if os.environ.get("WANDB_MODE", "offline") == "online" else "offline"
        )
        self._run = wandb.init(
            project=project or _DEFAULT_PROJECT,
            name=job.metadata.name,
            id=digest,
            resume="allow",
            dir=str(folder),
            mode=mode,
            config=settings(job),
            # Nothing of this machine belongs to the run.
            settings=wandb.Settings(
                console="off", silent=True, x_disable_stats=True, disable_git=True, save_code=False
            ),
        )
        # Its own counter cannot go back, which training may.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def newest_commit(self) -> int:
        """Known only to the server."""
        return 0

    def add(self, commit: int, steps: Sequence[Step]) -> None:
        for step in steps:
            self._run.log({**step.figures, "step": step.number, "time": step.time})

    def close(self, state: str) -> None:
        self._run.summary["state"] = state
        self._run.finish(exit_code=1 if state == "Failed" else 0)
