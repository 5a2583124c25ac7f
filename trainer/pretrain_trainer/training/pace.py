"""How long training still takes, from how long its steps took. Pure: the caller measures.

The rate is that of about the last minute, so that it follows the machine but no single step. Pauses are counted apart:
within a minute, one evaluation would make the end jump away and creep back. How sure the rate is, its own course over half an
hour tells: what is to come is taken for as slow or as quick as one of these minutes, and never for their mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_WINDOW_SECONDS = 60.0
"""A step that lies so far back counts e times less than the newest."""
_COURSE_SECONDS = 1800.0
"""The same of the rates that there were."""
_MOST_TIMES = 5.0
"""A step that takes more times the usual was held up; what it took beyond that is a pause, as saving is."""
_PRIOR, _PRIOR_SECONDS = 0.1, 300.0
"""By how much rates wander on machines of which nothing is known yet, and for how many seconds that counts."""
_DEVIATIONS = 1.45
"""Within so many root mean squares nine of ten ends lie, of trainings whose rate wanders by a tenth or more within minutes (a test
draws such); where steps merely differ, nearly all do."""


@dataclass(frozen=True)
class Pace:
    """What the steps of this attempt took. `steps`, `step_seconds` and its squares are weighted sums over the window; the
    `course` are those of 1, the mean of a step and its square over the time since then."""

    steps: float = 0.0
    step_seconds: float = 0.0
    step_squares: float = 0.0
    course: tuple[float, float, float] = (0.0, 0.0, 0.0)
    evaluations: int = 0
    evaluation_seconds: float = 0.0
    saving_seconds: float = 0.0
    """Of checkpoints and other pauses."""
    whole_seconds: float = 0.0
    is_warm: bool = False
    """Whether a step after the first has been taken: the first also prepares what all others use."""

    def after(self, seconds: float, evaluating: float, saving: float) -> Pace:
        """The pace with one more step, which took so many seconds in all, those spent on the two pauses included."""
        step = max(0.0, seconds - evaluating - saving)
        if self.is_warm and (most := _MOST_TIMES * self.step_seconds / self.steps) and step > most:
            step, saving = most, saving + step - most
        kept = math.exp(-step / _WINDOW_SECONDS) if self.is_warm else 0.0
        steps, step_seconds = self.steps * kept + 1, self.step_seconds * kept + step
        mean, still = step_seconds / steps, math.exp(-step / _COURSE_SECONDS) if self.is_warm else 0.0
        since = zip(self.course, (1.0, mean, mean * mean), strict=True)
        one, first, second = (before * still + step * now for before, now in since)
        return Pace(
            steps=steps,
            step_seconds=step_seconds,
            step_squares=self.step_squares * kept + step * step,
            course=(one, first, second),
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

    def error_seconds(self, steps: int) -> float:
        """How many seconds sooner or later so many more steps may be done, nine times of ten."""
        one, first, second = self.course
        if not one or not self.step_seconds:
            return 0.0
        mean = self.step_seconds / self.steps
        of_mean = (self.step_squares / self.steps - mean * mean) / self.steps
        # Around the rate that is expected to stay; before much was seen, it is taken for one that wanders.
        seen = second - 2 * mean * first + one * mean * mean
        of_course = (seen + _PRIOR_SECONDS * (_PRIOR * mean) ** 2) / (one + _PRIOR_SECONDS)
        return steps * _DEVIATIONS * math.sqrt(max(0.0, of_mean) + max(0.0, of_course))


def evaluations_between(step: int, last: int, every: int) -> int:
    """How many evaluations follow after `step`, up to and with `last`; `every` 0 means none."""
    return last // every - step // every if every else 0
