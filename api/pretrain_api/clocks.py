"""What a difference between two clocks means."""

from datetime import datetime

from pretrain_api.findings import Finding

_NOTABLE_SECONDS = 5.0
"""HTTP tells whole seconds, and an answer takes its time."""
_TOO_MUCH_SECONDS = 300.0
"""Stores refuse requests signed 15 min ago, identity providers often after 5."""


def finding(area: str, whose: str, there: datetime, here: datetime) -> Finding:
    """The finding about a clock elsewhere, read when this machine's said `here`."""
    seconds = (there - here).total_seconds()
    if abs(seconds) <= _NOTABLE_SECONDS:
        return Finding(area, "clock", "ok", f"as {whose}'s, within {_NOTABLE_SECONDS:.0f} s.")
    direction = "behind" if seconds > 0 else "ahead of"
    what = f"this machine is {abs(seconds):.0f} s {direction} {whose}."
    instead = (
        "Set both clocks by NTP; ages and times left are wrong by as much, and signatures are refused when it grows."
    )
    return Finding(area, "clock", "failure" if abs(seconds) > _TOO_MUCH_SECONDS else "warning", what, instead)
