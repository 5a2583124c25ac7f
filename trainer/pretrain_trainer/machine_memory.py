"""How much memory is left for this process: the machine's, as far as its container's limit goes."""

from __future__ import annotations

import contextlib
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
"""In a container with a cgroup namespace of its own, the container's group."""
_MACHINE = Path("/proc/meminfo")


def available_bytes(cgroups: Path = _CGROUPS, machine: Path = _MACHINE) -> int:
    """Bytes that can be used before something is killed, by the kernel's own estimate."""
    lines = machine.read_text().splitlines()
    left = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, usage in (
        (cgroups / "memory.max", cgroups / "memory.current"),  # version 2; "max" stands for no limit
        (cgroups / "memory" / "memory.limit_in_bytes", cgroups / "memory" / "memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            left.append(int(limit.read_text()) - int(usage.read_text()))
    return max(0, min(left, default=0))
