"""Control groups of a node: one in every hierarchy that this machine has, of version 1 or 2, and their removal.

A node sees its own group as the whole tree. So everything that runs on it is below that group, whatever made it.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

from support.eventually import eventually

LEAF = "machine"
"""Where a node's own programs are: with version 2 a group with children has no processes itself."""


def roots() -> list[Path]:
    """Every hierarchy that this machine has."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [Path(fields[4]) for fields in mounts if fields[fields.index("-") + 1] in ("cgroup", "cgroup2")]


def create(name: str) -> None:
    """A group and its leaf in every hierarchy."""
    *above, own = name.split("/")
    for root in roots():
        folder = root
        for part in above:
            folder = _made(folder / part)
            _pass_on_controllers(folder.parent)
            _pass_on_controllers(folder)
        _made(_made(folder / own) / LEAF)


def remove(name: str) -> None:
    """End what still runs in a group and below it, and remove it from every hierarchy."""
    eventually(lambda: [folder for root in roots() for folder in _removed(root / name)], lambda left: not left, 30)


def existing(name: str) -> list[Path]:
    return [root / name for root in roots() if (root / name).exists()]


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (folder / setting).exists() and not (folder / setting).read_text().strip():
            with suppress(OSError):  # version 1 wants to be told, version 2 inherits
                (folder / setting).write_text((folder.parent / setting).read_text())
    return folder


def _pass_on_controllers(folder: Path) -> None:
    """Version 2: what a group's children may use."""
    if (folder / "cgroup.controllers").exists():
        for controller in (folder / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # in use elsewhere, or the group has processes of its own
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _removed(top: Path) -> list[Path]:
    """What is left of a group after one try."""
    folders = [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]
    for folder in folders:
        for pid in _processes(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(OSError):
            folder.rmdir()
    return [folder for folder in folders if folder.exists()]


def _processes(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []
