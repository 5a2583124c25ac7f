"""What a Prometheus answers to a dashboard: its variables replaced, each query asked as Grafana asks it, series with names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.cluster.prometheus import Prometheus
from support.monitoring import as_sent

Json = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """The time that is looked at, between two Unix times, and of which job."""

    start: float
    end: float
    scrape_seconds: float
    """Between two scrapes."""
    namespace: str = ".*"
    job: str = ".*"

    @property
    def step(self) -> float:
        """Seconds between two points of a line: about 400 of them, and none more than there are scrapes."""
        return max(self.scrape_seconds, round((self.end - self.start) / 400))

    @property
    def times(self) -> NDArray[np.float64]:
        """Unix times of the points."""
        return np.arange(self.start, self.end + self.step / 2, self.step)

    @property
    def chosen(self) -> Mapping[str, str]:
        """Values of the dashboard's variables; the interval of rates by Grafana's rule, four scrapes at least."""
        rate = max(self.step + self.scrape_seconds, 4 * self.scrape_seconds)
        return {
            "$__rate_interval": f"{rate:.0f}s",
            "$__range": f"{self.end - self.start:.0f}s",
            "$namespace": self.namespace,
            "$pretrainjob": self.job,
        }


@dataclass(frozen=True)
class Series:
    """One series of a query."""

    name: str
    """What the legend says."""
    labels: Mapping[str, str]
    values: NDArray[np.float64]
    """At the times of the span, NaN where there is none; of an instant query only one, at its end."""


def series(prometheus: Prometheus, target: Json, span: Span) -> list[Series]:
    """What one query of a panel gives."""
    expression = as_sent(target["expr"], span.chosen)
    if target.get("instant"):
        found = [(each["metric"], [each["value"]]) for each in prometheus.query(expression, span.end)]
        times = np.array([span.end])
    else:
        times = span.times
        found = [
            (each["metric"], each["values"]) for each in prometheus.over(expression, span.start, span.end, span.step)
        ]
    legend = target.get("legendFormat") or ""
    return [Series(named(legend, labels), labels, _on(times, points)) for labels, points in found]


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A legend with its labels filled in; without one the series as Prometheus writes it."""
    if legend:
        return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), legend)
    inner = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels.get('__name__', '')}{{{inner}}}" if inner else labels.get("__name__", "")


def _on(times: NDArray[np.float64], points: Sequence[tuple[float, str]]) -> NDArray[np.float64]:
    values = np.full(len(times), np.nan)
    at = np.searchsorted(times, [float(time) - 1e-3 for time, _ in points])
    values[at] = [float(value) for _, value in points]
    return values


def rows(answers: Sequence[Sequence[Series]]) -> list[dict[str, Any]]:
    """Of the queries of a table, whose columns are labels and `Value #A` and on: rows that agree are merged as Grafana's
    transformation `merge` does it. Two rows do not agree where they have different values in one column, `__name__` too."""
    merged: list[dict[str, Any]] = []
    for place, found in enumerate(answers):
        for each in found:
            row = {**each.labels, f"Value #{chr(ord('A') + place)}": float(each.values[-1])}
            for earlier in merged:
                if all(earlier[column] == row[column] for column in earlier.keys() & row.keys()):
                    earlier.update(row)
                    break
            else:
                merged.append(row)
    return merged
