"""What a tracker is told: a run, and the figures of its steps under names that all tools share. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pretrain_api.commits import Commit
from pretrain_api.types import PretrainJob

_FIGURES = {
    "loss": "loss",
    "learningRate": "learning_rate",
    "gradientNorm": "gradient_norm",
    "tokens": "tokens",
    "tokensPerSecond": "tokens_per_second",
    "secondsPerStep": "seconds_per_step",
    "dataWaitSeconds": "data_wait_seconds",
}
"""Of a line of the history -> its name in a tool."""


@dataclass(frozen=True)
class Step:
    """An optimizer step."""

    number: int
    time: float
    """When it ended, in seconds since 1970: its commit's time less the steps behind it."""
    figures: Mapping[str, float]
    """loss, loss_by_source/NAME and validation_loss/NAME in nats per token, learning_rate, gradient_norm before clipping, tokens
    since the start, tokens_per_second, seconds_per_step, data_wait_seconds."""


class Tracker(Protocol):
    """One run in one tool."""

    def newest_commit(self) -> int:
        """Sequence number of the newest commit that it has already, of an earlier export; 0 for none."""
        ...

    def add(self, commit: int, steps: Sequence[Step]) -> None:
        """Take in the steps of a commit. Their numbers fall where training went back: the later word counts."""
        ...

    def close(self, state: str) -> None:
        """Write what is left. `state`: the job's."""
        ...


def steps(commit: Commit, lines: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
    """The steps of lines of a commit's history, oldest first."""
    end = commit.time.timestamp()
    behind = sum(float(line.get("secondsPerStep", 0.0)) for line in lines)
    for line in lines:
        behind -= float(line.get("secondsPerStep", 0.0))
        yield Step(int(line["step"]), end - behind, figures(line))


def figures(line: Mapping[str, Any]) -> dict[str, float]:
    """What a line of the history says, by the tools' names. What was not finite is left out."""
    found = {name: line.get(key) for key, name in _FIGURES.items()}
    found |= {f"loss_by_source/{source}": loss for source, loss in line.get("bySource", {}).items()}
    found |= {f"validation_loss/{source}": loss for source, loss in line.get("validation", {}).items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def settings(job: PretrainJob) -> dict[str, str | int | float | bool]:
    """What was written into the job's spec, flat: training.globalBatchSize, data.sources.0.name."""
    return dict(_flat(job.spec.model_dump(mode="json", by_alias=True, exclude_unset=True), ""))


def _flat(value: Any, at: str) -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(below, f"{at}.{key}" if at else str(key))
    elif value is not None:
        yield at, value
