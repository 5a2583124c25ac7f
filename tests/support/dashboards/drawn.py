"""A panel with its answers, as those who draw it take it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from support.dashboards import colours
from support.dashboards.answers import Series, Span

Json = dict[str, Any]
_MATCHES = {
    "byName": lambda wanted, name: wanted == name,
    # Without slashes Grafana would mean the whole name; ours have them.
    "byRegexp": lambda pattern, name: re.search(pattern[1:-1], name) is not None,
}
"""Whether an override's matcher means a series or column."""


@dataclass(frozen=True)
class Mark:
    """An annotation of the dashboard."""

    name: str
    colour: str
    times: Sequence[tuple[float, float]]
    """First and last Unix time of each run of points."""


@dataclass(frozen=True)
class Drawn:
    """A panel, what its queries gave, and where it is drawn."""

    panel: Json
    answers: Sequence[Sequence[Series]]
    span: Span
    marks: Sequence[Mark]

    @property
    def series(self) -> list[Series]:
        return [each for found in self.answers for each in found if not np.isnan(each.values).all()]

    @property
    def defaults(self) -> Json:
        found: Json = self.panel["fieldConfig"]["defaults"]
        return found

    def alone(self, name: str) -> Json:
        """What the panel sets for a series or column of this name alone."""
        found: Json = {}
        for override in self.panel["fieldConfig"]["overrides"]:
            if _MATCHES[override["matcher"]["id"]](override["matcher"]["options"], name):
                found |= {each["id"]: each["value"] for each in override["properties"]}
        return found

    def colour(self, name: str) -> str | None:
        """The one that is set for a series of this name, None where there is none."""
        found = self.alone(name).get("color")
        return colours.named(found["fixedColor"]) if found else None
