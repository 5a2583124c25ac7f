"""The JSON merge patch (RFC 7386) that leads from one object to another. Pure."""

from collections.abc import Mapping
from typing import Any


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What to send so that `before` becomes `after`: changed fields, and null for those that are gone."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if nested := between(old, value):
                patch[name] = nested
        elif old != value:
            patch[name] = value
    return patch
