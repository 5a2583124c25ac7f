"""Where a process's time goes: from the stacks of a sampling profiler to the functions with the most time."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

Profile = dict[str, Any]
_SHOWN = 25


def profile(stacks: Sequence[str]) -> Profile:
    """Shares of all samples, idle ones left out by the profiler. `own`: the function itself; `all`: with its callees."""
    own: Counter[str] = Counter()
    everything: Counter[str] = Counter()
    total = 0
    for line in stacks:
        path, _, count = line.rpartition(" ")
        frames = [_short(frame) for frame in path.split(";")]
        own[frames[-1]] += int(count)
        for frame in set(frames):
            everything[frame] += int(count)
        total += int(count)
    return {
        "samples": total,
        "own": {name: round(count / max(1, total), 3) for name, count in own.most_common(_SHOWN)},
        "all": {
            name: round(count / max(1, total), 3)
            for name, count in everything.most_common(3 * _SHOWN)
            if name.split("/")[0] == "pretrain_operator" or count / max(1, total) > 0.03
        },
    }


def _short(frame: str) -> str:
    """`function (/long/path/to/package/file.py:12)` as `package/file.py function`."""
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").rpartition(":")[0] or place
    for mark in ("/site-packages/", "/operator/", "/api/", "/python3."):
        if mark in path:
            path = path.rpartition(mark)[2]
            path = path.partition("/")[2] if mark == "/python3." else path
            break
    return f"{path} {name}"
