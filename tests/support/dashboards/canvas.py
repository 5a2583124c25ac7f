"""A page in pixels, y downwards: boxes of panels, texts, legends, and axes for what is plotted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.dashboards import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
LETTER, LINE = 6.2, 15
"""Width of a letter and height of a line of a legend, in pixels."""


@dataclass(frozen=True)
class Area:
    """A rectangle of the page."""

    x: float
    y: float
    width: float
    height: float

    def within(self, left: float, top: float, right: float, bottom: float) -> Area:
        """Without so much at each side."""
        return Area(self.x + left, self.y + top, self.width - left - right, self.height - top - bottom)


@dataclass(frozen=True)
class Canvas:
    """The page."""

    figure: Figure
    width: float
    height: float

    def axes(self, area: Area) -> Axes:
        """Axes that fill an area, without a frame."""
        found = self.figure.add_axes(
            (
                area.x / self.width,
                1 - (area.y + area.height) / self.height,
                area.width / self.width,
                area.height / self.height,
            )
        )
        found.set_facecolor("none")
        for side in found.spines.values():
            side.set_visible(False)
        found.tick_params(length=0, labelsize=8, labelcolor=colours.DIM, pad=5)
        return found

    def box(self, area: Area, title: str) -> Area:
        """The frame and title of a panel; what is left within."""
        from matplotlib.patches import Rectangle

        place = (area.x / self.width, 1 - (area.y + area.height) / self.height)
        shape = Rectangle(
            place, area.width / self.width, area.height / self.height, transform=self.figure.transFigure,
            facecolor=colours.BOX, edgecolor=colours.GRID, linewidth=0.8, zorder=-1,
        )  # fmt: skip
        self.figure.add_artist(shape)
        self.text(area.x + 10, area.y + 16, title, size=9.5, weight="bold")
        return area.within(10, 32, 10, 8)

    def text(
        self, x: float, y: float, text: str, *, size: float = 8.5, colour: str = colours.TEXT, **style: Any
    ) -> None:
        """At a pixel: its left end, unless `ha` says otherwise, and the middle of its height."""
        style = {"ha": "left", "va": "center", **style}
        self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size, color=colour, **style)

    def legend(self, area: Area, entries: Sequence[tuple[str, str]], most_lines: int = 3) -> Area:
        """Names with their colours at the bottom of an area; what is left above. What has no room is counted."""
        lines = wrapped(entries, area.width)
        if len(lines) > most_lines:
            left = sum(map(len, lines[most_lines:])) + 1
            lines = [*lines[: most_lines - 1], [*lines[most_lines - 1][:-1], (f"and {left} more", colours.BOX)]]
        top = area.y + area.height - LINE * len(lines)
        for row, line in enumerate(lines):
            x, y = area.x, top + LINE * (row + 0.5)
            for name, colour in line:
                self.text(x, y, "—", colour=colour, weight="bold")
                self.text(x + 14, y, name, size=8, colour=colours.TEXT)
                x += _width(name)
        return area.within(0, 0, 0, LINE * len(lines) + 4)


def wrapped(entries: Sequence[tuple[str, str]], width: float) -> list[list[tuple[str, str]]]:
    """Entries of a legend in lines of a width in pixels."""
    lines: list[list[tuple[str, str]]] = []
    used = width
    for entry in entries:
        if not lines or used + _width(entry[0]) > width:
            lines.append([])
            used = 0.0
        lines[-1].append(entry)
        used += _width(entry[0])
    return lines


def _width(name: str) -> float:
    return 30 + LETTER * len(name)
