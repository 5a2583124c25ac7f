"""Panels of one moment: figures, bars and tables."""

from __future__ import annotations

import math

from support.dashboards import colours
from support.dashboards.answers import rows
from support.dashboards.canvas import Area, Canvas
from support.dashboards.drawn import Drawn
from support.dashboards.units import written


def figures(canvas: Canvas, area: Area, drawn: Drawn) -> None:
    """Single values beside each other; with the name below or the name alone where the panel says so."""
    mode = drawn.panel["options"]["textMode"]
    for number, each in enumerate(drawn.series):
        value = float(each.values[-1])
        text = each.name if mode == "name" else written(value, drawn.defaults["unit"])
        x = area.x + area.width * (number + 0.5) / len(drawn.series)
        size = min(30.0, 1.1 * area.width / len(drawn.series) / max(len(text), 1))
        canvas.text(x, area.y + area.height / 2, text, size=size, colour=colours.of_value(drawn.panel, value),
                    weight="bold", ha="center")  # fmt: skip
        if mode == "value_and_name":
            canvas.text(x, area.y + area.height - 6, each.name, size=9, ha="center")


def bars(canvas: Canvas, area: Area, drawn: Drawn) -> None:
    """Values below each other, the longest bar the largest one."""
    values = [float(each.values[-1]) for each in drawn.series]
    highest = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    letters = max(len(each.name) for each in drawn.series)
    names, height = min(area.width / 2, 12 + 6.5 * letters), area.height / len(values)
    axes = canvas.axes(area.within(names, 0, 70, 0))
    for row, (each, value) in enumerate(zip(drawn.series, values, strict=True)):
        colour, y = drawn.colour(each.name) or colours.of_value(drawn.panel, value), area.y + height * (row + 0.5)
        axes.barh(row, highest, color=colours.PAGE, height=0.8)
        axes.barh(row, value if math.isfinite(value) else 0.0, color=colour, height=0.8, alpha=0.8)
        canvas.text(area.x + names - 8, y, each.name, ha="right")
        canvas.text(area.x + area.width - 62, y, written(value, drawn.defaults["unit"]), colour=colour, weight="bold")
    axes.set(ylim=(len(values) - 0.5, -0.5), xlim=(0, highest), xticks=[], yticks=[])


def table(canvas: Canvas, area: Area, drawn: Drawn) -> None:
    """Labels and values, as the panel's transformations leave them."""
    options = {each["id"]: each["options"] for each in drawn.panel["transformations"]}
    hidden, renamed = options["organize"]["excludeByName"], options["organize"]["renameByName"]
    merged = rows(drawn.answers)
    columns = [name for name in dict.fromkeys(name for row in merged for name in row) if not hidden.get(name)]
    columns.sort(key=lambda name: name.startswith("Value #"))
    for number, column in enumerate(columns):
        x, name = area.x + area.width * number / len(columns), renamed.get(column, column)
        unit = drawn.alone(name).get("unit", drawn.defaults["unit"])
        canvas.text(x, area.y + 8, name, colour=colours.named("blue"), weight="bold")
        for line, row in enumerate(merged[: int((area.height - 20) / 20)]):
            value = row.get(column, "")
            text = value if isinstance(value, str) else written(value, unit)
            canvas.text(x, area.y + 30 + 20 * line, text)
