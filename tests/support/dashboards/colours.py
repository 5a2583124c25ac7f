"""Colours by the names that Grafana has for them, and which one a value or a line takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAMED = {
    "green": "#56a64b",
    "orange": "#ff780a",
    "red": "#e02f44",
    "blue": "#3274d9",
    "yellow": "#e0b400",
    "purple": "#a352cc",
    "text": "#24292e",
    "transparent": "#ffffff00",
}
LINES = ("#56a64b", "#e0b400", "#3274d9", "#ff780a", "#e02f44", "#1f9eb3", "#a352cc", "#8b6f47", "#2e6e2e", "#7c8896")
TEXT, DIM, GRID, BOX, PAGE = "#24292e", "#6e7781", "#e4e7eb", "#ffffff", "#f4f5f5"


def named(colour: str) -> str:
    """Grafana's name of a colour, or a code, as matplotlib takes it. Raises KeyError for another name."""
    return colour if colour.startswith("#") else NAMED[colour]


def of_value(panel: dict[str, Any], value: float) -> str:
    """By the thresholds of the panel."""
    steps: Sequence[dict[str, Any]] = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return named(reached[-1])
