"""Numbers, sizes and times as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_SIZES = ("bytes", "KB", "MB", "GB", "TB", "PB")


def count(value: float) -> str:
    """1234567 -> 1,234,567"""
    return f"{value:,.0f}"


def short(value: float) -> tuple[str, str]:
    """1234567 -> ("1.23", "million")"""
    for limit, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= limit:
            return f"{value / limit:.3g}", name
    return count(value), ""


def size(value: float) -> str:
    """Decimal units: 1234567 -> 1.23 MB"""
    if value < 1000:
        return f"{value:.0f} bytes"
    power = 1
    while value / 1000**power >= 999.5 and power < len(_SIZES) - 1:  # 999.5 would be written as 1e+03
        power += 1
    return f"{value / 1000**power:.3g} {_SIZES[power]}"


def seconds(value: float) -> str:
    """3725 -> 1 h 02 min"""
    if value < 60:
        return f"{value:.1f} s"
    minutes = round(value / 60)
    if minutes < 60:
        return f"{int(value // 60)} min {int(value % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def number(value: float, form: str = ".4f") -> str:
    """NaN is an empty cell."""
    return "" if math.isnan(value) else format(value, form)
