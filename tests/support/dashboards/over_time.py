"""Panels with an axis of time: lines, areas on top of each other, and states."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from support.dashboards import colours
from support.dashboards.answers import Span
from support.dashboards.canvas import Area, Canvas
from support.dashboards.drawn import Drawn
from support.dashboards.units import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TICK = 36
"""Width of the name of a tick, with what has to be free beside it, in pixels."""


def lines(canvas: Canvas, area: Area, drawn: Drawn) -> None:
    from matplotlib.ticker import MultipleLocator

    shown = [
        (each, drawn.colour(each.name) or colours.LINES[number % len(colours.LINES)])
        for number, each in enumerate(drawn.series)
    ]
    area = canvas.legend(area, [(each.name, colour) for each, colour in shown])
    unit, times = drawn.defaults["unit"], drawn.span.times
    names = 56 + 6 * len(unit.partition(":")[2])  # a unit of our own stands beside every tick
    axes = canvas.axes(area.within(names, 2, 6, 18))
    custom = drawn.defaults.get("custom", {})
    is_stacked = custom.get("stacking", {}).get("mode") == "normal"
    below = np.zeros(len(times))
    for each, colour in shown:
        top = below + each.values if is_stacked else each.values
        alone = _alone(top)
        axes.plot(times, top, color=colour, linewidth=1.2)
        axes.plot(times[alone], top[alone], ".", color=colour, markersize=4)
        if is_stacked:
            there, opacity = ~np.isnan(top), custom["fillOpacity"] / 100
            axes.fill_between(times, below, top, where=there, color=colour, alpha=opacity, linewidth=0)
            below = np.where(there, top, below)
    axes.grid(axis="y", color=colours.GRID, linewidth=0.7)
    low, high = _limits(axes, custom.get("axisSoftMin"))
    for step in drawn.defaults["thresholds"]["steps"] if "thresholdsStyle" in custom else ():
        if step["value"] is not None and low <= step["value"] <= high:
            axes.axhline(step["value"], color=colours.named(step["color"]), linewidth=1, linestyle=(0, (6, 4)))
    _marked(axes, drawn)
    _clock(axes, drawn.span, area.width - names - 6)
    if unit == "bytes":
        axes.yaxis.set_major_locator(MultipleLocator(2 ** math.floor(math.log2((high - low) / 3))))
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= high])
    axes.yaxis.set_major_formatter(lambda value, _: written(value, unit))


def _limits(axes: Axes, lowest: float | None) -> tuple[float, float]:
    """The bounds of the axis: those of the values, and no higher than where it is to begin."""
    low, high = axes.get_ylim()
    if lowest is not None:
        low = min(axes.dataLim.y0, lowest)
        high = max(axes.dataLim.y1, lowest) * 1.08 or 1.0
    axes.set_ylim(low - 0.02 * (high - low), high)
    return low, high


def _alone(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points have no neighbour, and make no line."""
    there = np.concatenate(([False], ~np.isnan(values), [False]))
    return there[1:-1] & ~there[:-2] & ~there[2:]


def states(canvas: Canvas, area: Area, drawn: Drawn) -> None:
    """A row for each series, filled while it has a value; equal ones are one piece."""
    letters = max(len(each.name) for each in drawn.series)
    names = 12 + 6.2 * letters
    axes, times = canvas.axes(area.within(names, 2, 6, 18)), drawn.span.times
    height = (area.height - 20) / len(drawn.series)
    for row, each in enumerate(drawn.series):
        canvas.text(area.x + names - 8, area.y + 2 + height * (row + 0.5), each.name, size=8, ha="right")
        for first, last in pieces(each.values):
            value = float(each.values[first])
            colour = drawn.colour(each.name) or colours.of_value(drawn.panel, value)
            width = times[last] - times[first] + drawn.span.step
            axes.barh(row, width, left=times[first], height=0.8, color=colour, alpha=0.75)
            if drawn.panel["options"]["showValue"] != "never" and width > (drawn.span.end - drawn.span.start) / 40:
                text = written(value, drawn.defaults["unit"])
                axes.text(times[first] + width / 2, row, text, ha="center", va="center", fontsize=8, color=colours.TEXT)
    axes.set(ylim=(len(drawn.series) - 0.5, -0.5), yticks=[])
    _clock(axes, drawn.span, area.width - names)


def pieces(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """First and last place of each run of equal values, without the gaps."""
    ends = np.flatnonzero(~(values[1:] == values[:-1])) if len(values) > 1 else np.array([], dtype=int)
    firsts, lasts = [0, *(ends + 1)], [*ends, len(values) - 1]
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True) if not np.isnan(values[a])]


def _marked(axes: Axes, drawn: Drawn) -> None:
    for mark in drawn.marks:
        for first, last in mark.times:
            axes.axvline(first, color=mark.colour, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.8)
            if last > first:
                axes.axvspan(first, last, color=mark.colour, alpha=0.07, linewidth=0)


def _clock(axes: Axes, span: Span, width: float) -> None:
    """Minutes and seconds since the beginning, which say more in a picture than the time of a day."""
    axes.set_xlim(span.start, span.end)
    length = span.end - span.start
    every = next(each for each in (10, 30, 60, 120, 300, 600, 1800, 3600, math.inf) if length / each * _TICK <= width)
    ticks = np.arange(0, length, every)
    axes.set_xticks(span.start + ticks, [f"{int(tick) // 60}:{int(tick) % 60:02}" for tick in ticks])
