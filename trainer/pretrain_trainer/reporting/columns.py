"""The figures of the steps as columns of numbers, for plots. NaN stands for what a step does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pretrain_api.recoveries import Recovery

Column = npt.NDArray[np.float64]

FIGURES = (
    "step",
    "loss",
    "tokens",
    "learningRate",
    "gradientNorm",
    "tokensPerSecond",
    "secondsPerStep",
    "dataWaitSeconds",
)
_OF_SAMPLES = ("samples", "samplesPerSecond")


@dataclass(frozen=True)
class StepColumns:
    """All columns have one entry per step."""

    figures: Mapping[str, Column]
    """By the names of FIGURES; and `samples` seen since the start of the run, and `samplesPerSecond`."""
    by_source: Mapping[str, Column]
    """Training loss by source."""
    validation: Mapping[str, Column]
    """Validation loss by source, at the steps that were evaluated."""
    recoveries: Sequence[tuple[int, Recovery]] = ()
    """Each with the step before which training had come back."""

    def __len__(self) -> int:
        return len(self.figures["step"])


@dataclass
class _Growing:
    """Columns that get one row after another; a name that first appears late is NaN before."""

    rows: int = 0
    columns: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: Mapping[str, float | None]) -> None:
        for name in row.keys() - self.columns.keys():
            self.columns[name] = [np.nan] * self.rows
        for name, column in self.columns.items():
            value = row.get(name)
            column.append(np.nan if value is None else float(value))
        self.rows += 1

    def arrays(self) -> dict[str, Column]:
        return {name: np.array(column, dtype=np.float64) for name, column in self.columns.items()}


def columns_of(steps: Iterable[Mapping[str, Any]]) -> StepColumns:
    """Columns of the lines of history files."""
    figures, by_source, validation = _Growing(), _Growing(), _Growing()
    recoveries = list[tuple[int, Recovery]]()
    for step in steps:
        figures.add({**{name: step.get(name) for name in FIGURES}, **_of_samples(step)})
        by_source.add(step.get("bySource") or {})
        validation.add(step.get("validation") or {})
        recoveries += [(step["step"], Recovery.model_validate(each)) for each in step.get("recoveries") or ()]
    empty = {name: np.zeros(0) for name in (*FIGURES, *_OF_SAMPLES)}
    return StepColumns({**empty, **figures.arrays()}, by_source.arrays(), validation.arrays(), recoveries)


def _of_samples(step: Mapping[str, Any]) -> dict[str, float | None]:
    """By what the step read of the order."""
    first, last = (step.get("read") or {}).get("samples", (None, None))
    seconds = step.get("secondsPerStep")
    return {"samples": last, "samplesPerSecond": (last - first) / seconds if last is not None and seconds else None}
