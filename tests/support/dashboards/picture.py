"""A dashboard as a picture: its panels on their places in the grid, drawn from what a Prometheus answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from support.cluster.prometheus import Prometheus
from support.dashboards import colours, now, over_time
from support.dashboards.answers import Span, series
from support.dashboards.canvas import DPI, Area, Canvas
from support.dashboards.drawn import Drawn, Mark

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Json = dict[str, Any]
COLUMNS, UNIT_WIDTH, UNIT_HEIGHT, GAP, HEAD = 24, 60, 32, 4, 48
"""Columns of Grafana's grid; width and height of one of its units, half of what lies between panels, and the head, in pixels."""
KINDS: dict[str, Callable[[Canvas, Area, Drawn], None]] = {
    "timeseries": over_time.lines,
    "state-timeline": over_time.states,
    "stat": now.figures,
    "bargauge": now.bars,
    "table": now.table,
}
"""Who draws panels of a type."""


def draw(path: Path, board: Json, prometheus: Prometheus, span: Span) -> None:
    """Write the picture; its format follows from the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn(board, prometheus, span).savefig(path, facecolor=colours.PAGE)


def drawn(board: Json, prometheus: Prometheus, span: Span) -> Figure:
    """The picture. Raises KeyError for a type of panel, a unit or a colour that no dashboard of ours has so far."""
    from matplotlib.figure import Figure

    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    width, height = COLUMNS * UNIT_WIDTH, HEAD + bottom * UNIT_HEIGHT + GAP
    canvas = Canvas(Figure((width / DPI, height / DPI), dpi=DPI, facecolor=colours.PAGE), width, height)
    canvas.text(16, HEAD / 2, board["title"], size=13, weight="bold")
    canvas.text(width - 16, HEAD / 2, _chosen(span), colour=colours.DIM, ha="right")
    marks = _marks(board, prometheus, span)
    for panel in board["panels"]:
        area = _area(panel["gridPos"])
        if panel["type"] == "row":
            canvas.text(area.x + 8, area.y + area.height / 2, panel["title"], size=11, weight="bold")
            continue
        answers = [series(prometheus, target, span) for target in panel["targets"]]
        _panel(canvas, area, Drawn(panel, answers, span, marks))
    return canvas.figure


def _panel(canvas: Canvas, area: Area, drawn: Drawn) -> None:
    inner = canvas.box(area, drawn.panel["title"])
    kind = KINDS[drawn.panel["type"]]
    if drawn.series:
        kind(canvas, inner, drawn)
    else:
        middle = (inner.x + inner.width / 2, inner.y + inner.height / 2)
        canvas.text(*middle, "No data", size=12, colour=colours.DIM, ha="center")


def _area(place: Json) -> Area:
    x, y = place["x"] * UNIT_WIDTH, HEAD + place["y"] * UNIT_HEIGHT
    return Area(x, y, place["w"] * UNIT_WIDTH, place["h"] * UNIT_HEIGHT).within(GAP, GAP, GAP, GAP)


def _chosen(span: Span) -> str:
    job = "all jobs" if span.job == ".*" else f"{span.namespace}/{span.job}"
    return f"{job}, {span.end - span.start:.0f} s; times are minutes and seconds"


def _marks(board: Json, prometheus: Prometheus, span: Span) -> list[Mark]:
    """The annotations of a dashboard. Points that follow each other are one."""
    marks = []
    for note in board["annotations"].get("list", []):
        found = series(prometheus, note, span)
        there = np.any([~np.isnan(each.values) for each in found], axis=0) if found else np.zeros(len(span.times), bool)
        runs = [(span.times[a], span.times[b]) for a, b in over_time.pieces(np.where(there, 1.0, np.nan))]
        marks.append(Mark(note["name"], colours.named(note["iconColor"]), runs))
    return marks
