"""Values as Grafana writes them in the units that our panels have."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SHORT = ((1e12, " Tri"), (1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))
_BINARY = ((1024**4, " TiB"), (1024**3, " GiB"), (1024**2, " MiB"), (1024, " KiB"))
_DECIMAL = ((1e12, " TB/s"), (1e9, " GB/s"), (1e6, " MB/s"), (1e3, " kB/s"))
_METRIC = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))
_SECONDS = ((86400, " days"), (3600, " hours"), (60, " mins"), (1, " s"), (1e-3, " ms"), (1e-6, " µs"))


def written(value: float, unit: str) -> str:
    """A value with its unit. Raises KeyError for a unit that no panel of ours has so far."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞"
    kind, _, name = unit.partition(":")
    if kind == "si" and name:
        return _scaled(value, _METRIC, "") + name
    if kind == "suffix" and name:
        return f"{_figures(value)} {name}"
    return {
        "short": lambda: _scaled(value, _SHORT, ""),
        "bytes": lambda: _scaled(value, _BINARY, " B"),
        "Bps": lambda: _scaled(value, _DECIMAL, " B/s"),
        "s": lambda: _scaled(value, _SECONDS, " s"),
        "ops": lambda: _scaled(value, _SHORT, "") + " ops/s",
        "reqps": lambda: _scaled(value, _SHORT, "") + " req/s",
        "percentunit": lambda: _figures(100 * value) + "%",
        "sci": lambda: f"{value:.2e}",
    }[unit]()


def _scaled(value: float, scales: Sequence[tuple[float, str]], smallest: str) -> str:
    for factor, name in scales:
        if abs(value) >= factor:
            return _figures(value / factor) + name
    return _figures(value) + smallest


def _figures(value: float) -> str:
    """Three of them, without zeros at the end."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{float(f'{value:.3g}'):g}"
