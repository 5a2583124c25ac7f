"""Event files for TensorBoard, by PyTorch's own writer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from pretrain_api.types import PretrainJob
from pretrain_trainer.tracking.tracker import Step, settings


class TensorBoard:
    """A folder of event files. A new one begins with each export, and where training went back; what older ones say of its first
    step and later ones is purged, as TensorBoard calls it."""

    def __init__(self, folder: Path, job: PretrainJob) -> None:
        self._folder, self._job = folder / job.metadata.name, job
        self._writer: SummaryWriter | None = None
        self._newest = 0

    def newest_commit(self) -> int:
        """Always from the start: a folder may have been copied or cut."""
        return 0

    def add(self, commit: int, steps: Sequence[Step]) -> None:
        if self._writer is None or steps[0].number <= self._newest:
            self._begin(steps[0].number)
        assert self._writer is not None
        for step in steps:
            for name, value in step.figures.items():
                self._writer.add_scalar(name, value, step.number, walltime=step.time, new_style=True)
        self._newest = steps[-1].number
        self._writer.flush()

    def close(self, state: str) -> None:
        if self._writer is not None:
            self._writer.close()

    def _begin(self, step: int) -> None:
        """A new file that replaces all from a step on."""
        self.close("")
        self._writer = SummaryWriter(str(self._folder), purge_step=step)
        table = "\n".join(f"| {name} | {value} |" for name, value in settings(self._job).items())
        self._writer.add_text("job", f"| field | value |\n| --- | --- |\n{table}", step)
