"""The loss over the steps as text in a terminal, by plotext. Pure but for plotext's own figure, so: from one thread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotext

_LEAST_COLUMNS, _LEAST_ROWS = 24, 5
_TICKS = 5


def drawn(losses: Mapping[int, float], columns: int, rows: int, log_scale: bool) -> str:
    """A curve of `columns` x `rows` characters, "" where there is nothing to draw or no room for it.

    Each column's dots hold the extremes of their steps, so that a spike of one step is seen. `log_scale`: of the loss.
    """
    known = [
        (step, loss) for step, loss in sorted(losses.items()) if math.isfinite(loss) and (loss > 0 or not log_scale)
    ]
    if len(known) < 2 or columns < _LEAST_COLUMNS or rows < _LEAST_ROWS:
        return ""
    kept = thinned(known, 2 * columns)
    heights = [math.log(loss) if log_scale else loss for _, loss in kept]
    figure = plotext.figure
    figure.clear()
    figure.plot_size(columns, rows)
    figure.axes(False)
    signal = figure.signal([step for step, _ in kept], heights, marker="braille")
    signal.lines()
    figure.draw(signal)
    steps = _spread(kept[0][0], kept[-1][0])
    figure.ruler(0).ticks(steps, [f"{step:.0f}" for step in steps])
    levels = _spread(min(heights), max(heights))
    figure.ruler(1).ticks(levels, [f"{math.exp(level) if log_scale else level:.3f} " for level in levels])
    return str(figure.build().string(colorless=True)).rstrip("\n")


def thinned(points: Sequence[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most so many points (an even number), in order: of each stretch of steps the lowest and the highest."""
    if len(points) <= most:
        return list(points)
    stretches, kept = most // 2, []
    for number in range(stretches):
        part = points[number * len(points) // stretches : (number + 1) * len(points) // stretches]
        extremes = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(extremes)
    return kept


def _spread(least: float, most: float) -> list[float]:
    return [least + (most - least) * at / (_TICKS - 1) for at in range(_TICKS)]
