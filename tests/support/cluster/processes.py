"""Processes of a cluster, known by id and time of start, so that no stranger with a recycled id is ever touched."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from support.eventually import eventually

_CHILDREN: list["subprocess.Popen[bytes]"] = []
"""Those that this process started; kept, as a forgotten child that still runs is a warning."""


@dataclass(frozen=True)
class Process:
    """A program that runs in the background, whoever started it."""

    name: str
    process: psutil.Process
    log: Path
    record: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def runs(self) -> bool:
        return runs(self.process)

    def signal(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            self.process.send_signal(number)

    def stop(self, within_seconds: float = 10.0) -> None:
        """Ask it to end, then make it."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            wait_for_end([self.process], within_seconds)
        except AssertionError:
            self.kill()

    def kill(self) -> None:
        """End it as a crash does."""
        self.signal(signal.SIGKILL)
        wait_for_end([self.process])

    def until(self, ready: Callable[[], bool], within_seconds: float = 60.0) -> None:
        """Wait until it serves; an early end is reported with the end of its log."""
        state = eventually(
            lambda: "ready" if ready() else "starting" if self.runs() else "ended",
            lambda state: state != "starting",
            within_seconds,
        )
        if state == "ended":
            raise RuntimeError(f"{self.name} ended before it was ready:\n{self.log_end()}")

    def log_end(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


_SPARING = {"GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 4)), "GOGC": "400"}
"""For programs in Go that mostly wait, many of them on few cores: on two they take a quarter less CPU time so."""


def runs(process: psutil.Process) -> bool:
    """Whether it does anything still. One that ended may wait for its parent to take notice."""
    with suppress(psutil.NoSuchProcess):
        # Its first thread can have ended while others still do.
        ended = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
        return bool(process.is_running() and not ended)
    return False


def wait_for_end(ending: Sequence[psutil.Process], within_seconds: float = 20.0) -> None:
    eventually(lambda: [process for process in ending if runs(process)], lambda left: not left, within_seconds)
    for child in _CHILDREN:
        child.poll()


def start(
    folder: Path,
    name: str,
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    dies_with_parent: bool = True,
    is_sparing: bool = False,
) -> Process:
    """Start a program with its log and its record below `folder`. `is_sparing`: it leaves the cores to others."""
    records, logs = folder / "processes", folder / "logs"
    for each in (records, logs):
        each.mkdir(exist_ok=True)
    # Where the owner is killed, nobody stops its programs: the kernel does.
    fate = ["setpriv", "--pdeathsig", "KILL", "--"] if dies_with_parent else []
    log = logs / f"{name}.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*fate, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(_SPARING if is_sparing else {}), **(environment or {})},
            start_new_session=True,  # Ctrl-C is for the tests, which then stop their cluster in order
        )
    _CHILDREN.append(child)
    process = psutil.Process(child.pid)
    record = records / f"{name}.json"
    record.write_text(json.dumps({"pid": child.pid, "created": process.create_time(), "log": str(log)}))
    return Process(name, process, log, record)


def named(folder: Path, name: str) -> Process | None:
    """The program that was started last under this name, if it still runs."""
    path = folder / "processes" / f"{name}.json"
    with suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError):
        record = json.loads(path.read_text())
        process = psutil.Process(record["pid"])
        found = Process(name, process, Path(record["log"]), path)
        if abs(process.create_time() - record["created"]) < 0.05 and found.runs():
            return found
    return None


def recorded(folder: Path) -> list[Process]:
    """All programs below a folder that still run."""
    names = sorted(path.stem for path in (folder / "processes").glob("*.json"))
    return [process for process in (named(folder, name) for name in names) if process]
