"""Figures of each step, kept until a commit names them: `checkpoints/history/<fingerprint>/<from>-<to>-<writer>.jsonl`.

No torch here; the report and `pretrain status` read the files.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pretrain_api import layout
from pretrain_api.ledger import StepRead
from pretrain_api.recoveries import Recovery
from pretrain_api.storage import Storage
from pretrain_trainer.training.spent import Spent


@dataclass(frozen=True)
class StepFigures:
    """One optimizer step. `tokens` are those seen since the start of the run; losses are nats per token."""

    step: int
    loss: float
    tokens: int
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    seconds_per_step: float
    data_wait_seconds: float
    skipped: bool
    by_source: Mapping[str, float]
    read: StepRead
    validation: Mapping[str, float] | None = None
    recoveries: tuple[Recovery, ...] = ()
    """Of which the training had come back when it made this step."""
    spent: Spent = field(default_factory=Spent)
    """What its seconds were spent on."""

    def as_json(self) -> dict[str, Any]:
        """The line of the file. Numbers that JSON lacks (a skipped step's loss may be NaN) become null."""
        line: dict[str, Any] = {
            "step": self.step,
            "loss": _number(self.loss),
            "tokens": self.tokens,
            "learningRate": self.learning_rate,
            "gradientNorm": _number(self.gradient_norm),
            "tokensPerSecond": round(self.tokens_per_second, 1),
            "secondsPerStep": round(self.seconds_per_step, 6),
            "dataWaitSeconds": round(self.data_wait_seconds, 6),
            "skipped": self.skipped,
            "bySource": {name: _number(loss) for name, loss in self.by_source.items()},
            "read": self.read.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        }
        pauses = {
            "checkpointStallSeconds": self.spent.checkpoint_stall,
            "evaluationSeconds": self.spent.evaluation,
            "compilationSeconds": self.spent.compilation,
        }
        line |= {name: round(seconds, 6) for name, seconds in pauses.items() if seconds}
        if self.validation is not None:
            line["validation"] = {name: _number(loss) for name, loss in self.validation.items()}
        if self.recoveries:
            line["recoveries"] = [each.model_dump(mode="json", by_alias=True) for each in self.recoveries]
        return line


def write_history(storage: Storage, fingerprint: str, writer: str, figures: Sequence[StepFigures]) -> tuple[str, str]:
    """Write the steps' lines; the file's path and its SHA-256, both empty when there are none.

    `writer` is a part of the name that no other start of the training has: one that was overtaken and still writes
    must not replace what a commit names.
    """
    if not figures:
        return "", ""
    steps = f"{figures[0].step:08d}-{figures[-1].step:08d}"
    path = f"{layout.CHECKPOINT_HISTORY}/{fingerprint}/{steps}-{writer}.jsonl"
    content = "".join(json.dumps(f.as_json()) + "\n" for f in figures).encode()
    storage.write_bytes(path, content)
    return path, hashlib.sha256(content).hexdigest()


def last_loss(storage: Storage, path: str) -> float | None:
    """The newest loss that a history file holds."""
    if not path:
        return None
    for line in reversed(storage.read_bytes(path).decode().splitlines()):
        loss = json.loads(line)["loss"]
        if loss is not None:
            return float(loss)
    return None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
