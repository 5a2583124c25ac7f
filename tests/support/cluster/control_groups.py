"""Control groups of a node: one in every hierarchy that this machine has, of version 1 or 2, and their removal.

A node sees its own group as the whole tree. So everything that runs on it is below that group, whatever made it.
"""

import fnmatch
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.eventually import eventually

_MEMORY = (
    ("memory.limit_in_bytes", "total_rss", "memory.oom_control"),
    ("memory.max", "anon", "memory.events"),
)
"""In version 1 and 2: the limit, what in `memory.stat` cannot be dropped, and the file that counts kills."""
_ROOM_BYTES = 32 << 20
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


@contextmanager
def squeezed(name: str, part: str) -> Iterator[Callable[[], bool]]:
    """A group somewhere below another one may have hardly more memory than it needs now. Gives whether the kernel has killed
    a process for it meanwhile: with the one that a container lives by the group goes as well."""
    [(folder, limit, usage, events)] = [
        (folder, folder / limit, usage, events)
        for root in roots()
        for folder in _below(root / name, part)
        for limit, usage, events in _MEMORY
        if (folder / limit).exists()
    ]

    def kills() -> int:
        """In the group and those below it."""
        return sum(_figure(file, "oom_kill") for file in _below(folder, events))

    before, wide = kills(), limit.read_text()
    limit.write_text(str(_figure(folder / "memory.stat", usage) + _ROOM_BYTES))
    try:
        yield lambda: not folder.exists() or kills() > before
    finally:
        with suppress(FileNotFoundError):  # the pod is gone, and its group with it
            limit.write_text(wide)


def _below(folder: Path, pattern: str) -> Iterator[Path]:
    """What has such a name there or further below. Groups come and go meanwhile, which `Path.rglob` does not bear."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in fnmatch.filter((*folders, *files), pattern))


def _figure(file: Path, name: str) -> int:
    """One of those that a file lists; 0 once it is gone."""
    with suppress(FileNotFoundError):
        return next((int(line.split()[1]) for line in file.read_text().splitlines() if line.split()[0] == name), 0)
    return 0


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
