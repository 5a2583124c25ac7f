"""How many cores this process may use: those it may be scheduled on, as far as its container's limit goes."""

import contextlib
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
"""In a container with a cgroup namespace of its own, the container's group."""


def usable_cores(cgroups: Path = _CGROUPS) -> int:
    """At least one; a part of a core counts as one."""
    return max(1, min(len(os.sched_getaffinity(0)), _limit(cgroups)))


def _limit(cgroups: Path) -> int:
    """Cores that the CPU limit of the control group amounts to; very many where there is none."""
    with contextlib.suppress(OSError, ValueError):  # version 2
        quota, period = (cgroups / "cpu.max").read_text().split()
        return -(-int(quota) // int(period))
    with contextlib.suppress(OSError, ValueError):  # version 1: -1 stands for no limit
        quota_us = int((cgroups / "cpu" / "cpu.cfs_quota_us").read_text())
        if quota_us > 0:
            return -(-quota_us // int((cgroups / "cpu" / "cpu.cfs_period_us").read_text()))
    return 1 << 20
