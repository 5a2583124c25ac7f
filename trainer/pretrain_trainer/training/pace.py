"""How long training still takes, from how long its steps took. Pure: the caller measures.

The rate is that of about the last minute, so that it follows the machine but no single step. Pauses are counted apart:
within a minute, one evaluation would make the end jump away and creep back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_WINDOW_SECONDS = 60.0
"""A step that lies so far back counts e times less than the newest."""


@dataclass(frozen=True)
class Pace:
    """What the steps of this attempt took. Both `steps` and `step_seconds` are weighted sums."""

    steps: float = 0.0
    step_seconds: float = 0.0
    evaluations: int = 0
    evaluation_seconds: float = 0.0
    saving_seconds: float = 0.0
    whole_seconds: float = 0.0
    is_warm: bool = False
    """Whether a step after the first has been taken: the first also prepares what all others use."""

    def after(self, seconds: float, evaluating: float, saving: float) -> Pace:
        """The pace with one more step, which took so many seconds in all, those spent on the two pauses included."""
        step = seconds - evaluating - saving
        kept = math.exp(-step / _WINDOW_SECONDS) if self.is_warm else 0.0
        return Pace(
            steps=self.steps * kept + 1,
            step_seconds=self.step_seconds * kept + step,
            evaluations=self.evaluations + (evaluating > 0),
            evaluation_seconds=self.evaluation_seconds + evaluating,
            saving_seconds=self.saving_seconds + saving,
            whole_seconds=self.whole_seconds + seconds,
            is_warm=self.steps > 0,
        )

    def seconds_left(self, steps: int, evaluations: int) -> float | None:
        """Seconds for so many more steps with so many evaluations among them; None before the first step."""
        if not self.steps:
            return None
        step = self.step_seconds / self.steps
        # The first evaluation is not known before it has been made; a step is of its order.
        evaluation = self.evaluation_seconds / self.evaluations if self.evaluations else step
        saving = self.saving_seconds / self.whole_seconds
        return (steps * step + evaluations * evaluation) / max(1 - saving, 0.1)


def evaluations_between(step: int, last: int, every: int) -> int:
    """How many evaluations follow after `step`, up to and with `last`; `every` 0 means none."""
    return last // every - step // every if every else 0
