"""What a pod reported, as far as a training can mean it. Anybody who may write the ConfigMap may write that, and what it says
goes into the status, into metrics and into times."""

from __future__ import annotations

import math
from datetime import datetime

from pretrain_api import goodput
from pretrain_api.recoveries import PHASES, Recovery
from pretrain_api.report import Report, ReportedCheckpoint

_LARGEST_FIGURE = 1e18
"""Below what a 64-bit integer of the status holds."""
_LONGEST_SECONDS = 1e10
"""Three centuries."""
_MOST = 1 << 53
"""Of what is counted."""
_SPANS = ("secondsLeft", "secondsLeftError")
_COUNTS = ("step", "totalSteps", "resumedStep", "samples", "tokens")
_YEARS = range(1971, 9001)
_LONGEST_URI = 4096
"""As in the status."""


def believed(said: Report, now: datetime) -> Report | None:
    """The report without what cannot be; None where nothing of it can. What lies in the future was told by a wrong clock, and is
    taken for what was told just now."""
    if not _is_sane(said):
        return None
    time = min(said.time, now)
    changes: dict[str, object] = {"time": time, "figures": _figures(said, (time - said.time).total_seconds())}
    if said.checkpoint:  # by the clock of who wrote it, who may be another one
        changes["checkpoint"] = said.checkpoint.model_copy(update={"time": min(said.checkpoint.time, time)})
    if said.recovery:
        known = {name: seconds for name, seconds in said.recovery.phases.items() if name in PHASES}
        changes["recovery"] = said.recovery.model_copy(update={"time": min(said.recovery.time, time), "phases": known})
    return said.model_copy(update=changes)


def _figures(said: Report, later: float) -> dict[str, float]:
    """Those that can be, with the time of the start as much later as that of the report is."""
    figures = {name: value for name, value in said.figures.items() if name not in _SPANS or value <= _LONGEST_SECONDS}
    if goodput.SINCE in figures:
        figures[goodput.SINCE] += later
    if not all(figures.get(name, -1.0) >= 0 for name in goodput.FIGURES):
        figures.pop(goodput.SINCE, None)  # no account can be made of them
    return figures


def _is_sane(said: Report) -> bool:
    figures = said.figures
    return (
        all(math.isfinite(figure) and abs(figure) <= _LARGEST_FIGURE for figure in figures.values())
        and all(figures.get(name, 0.0) >= 0 for name in (*_COUNTS, *_SPANS))
        and _is_a_time(said.time)
        and (said.checkpoint is None or _can_be_saved(said.checkpoint))
        and (said.recovery is None or _can_have_been(said.recovery))
    )


def _can_be_saved(found: ReportedCheckpoint) -> bool:
    return 0 <= found.step <= _MOST and len(found.uri) <= _LONGEST_URI and _is_a_time(found.time)


def _can_have_been(found: Recovery) -> bool:
    return (
        1 <= found.number <= _MOST
        and -1 <= found.rank <= _MOST
        and 0 <= found.node <= _MOST
        and 0 <= found.lost_steps <= _MOST
        and all(0 <= span <= _LONGEST_SECONDS for span in (found.seconds, *found.phases.values()))
        and _is_a_time(found.time)
    )


def _is_a_time(time: datetime) -> bool:
    return time.tzinfo is not None and time.year in _YEARS
