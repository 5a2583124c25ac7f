"""Our contender: the Train stage itself, in its own process, one rank."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

from baton import Baton

from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.context import StageContext
from pretrain_trainer.progress import Progress
from pretrain_trainer.stages import train


class BatonProgress(Progress):
    """Hands the turn back with every step that the loop tells of."""

    def __init__(self, baton: Baton) -> None:
        super().__init__("Train", path="")
        self._baton = baton

    def update(self, phase: str, done: float, *_: Any, **figures: Any) -> None:
        if "loss" in figures:
            self._baton.step_ended(figures["loss"])


def context(progress: Progress) -> StageContext:
    """Of the arguments: job file, identities of its Encode and Tokenizer stages."""
    job = PretrainJob.model_validate(json.loads(Path(sys.argv[1]).read_text()))
    return StageContext(
        job,
        Storage.of(job.spec.storage),
        {Stage.ENCODE: sys.argv[2], Stage.TOKENIZER: sys.argv[3]},
        f"benchmark-{job.metadata.name}",
        progress,
        Path(job.spec.storage.uri),
        threading.Event(),
    )


def main() -> None:
    """Train, a step for each turn."""
    baton = Baton()
    training = context(BatonProgress(baton))
    baton.wait_for_turn()
    train.run(training)


if __name__ == "__main__":
    main()
