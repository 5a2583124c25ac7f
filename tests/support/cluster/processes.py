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


@dataclass(frozen=True)
class Process:
    """A program that was started in the background."""

    name: str
    process: psutil.Process
    log: Path
    record: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def runs(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        return False

    def signal(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            self.process.send_signal(number)

    def stop(self, within_seconds: float = 10.0) -> None:
        """Ask it to end, then make it."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            self.process.wait(within_seconds)
        except psutil.TimeoutExpired:
            self.kill()
        self.record.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a crash does."""
        self.signal(signal.SIGKILL)
        with suppress(psutil.TimeoutExpired):
            self.process.wait(10)

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


def start(
    folder: Path,
    name: str,
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    dies_with_parent: bool = True,
) -> Process:
    """Start a program with its log and its record below `folder`."""
    records, logs = folder / "processes", folder / "logs"
    for each in (records, logs):
        each.mkdir(exist_ok=True)
    # Where the owner is killed, nobody stops its programs: the kernel does.
    fate = ["setpriv", "--pdeathsig", "KILL", "--"] if dies_with_parent else []
    log = logs / f"{name}.log"
    with log.open("ab") as output:
        child = psutil.Popen(
            [*fate, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for the tests, which then stop their cluster in order
        )
    record = records / f"{name}.json"
    record.write_text(json.dumps({"pid": child.pid, "created": child.create_time(), "log": str(log)}))
    return Process(name, child, log, record)


def recorded(folder: Path) -> list[Process]:
    """The programs below a folder that still run, whoever started them."""
    found = []
    for path in sorted((folder / "processes").glob("*.json")):
        with suppress(psutil.NoSuchProcess, ValueError, KeyError):
            record = json.loads(path.read_text())
            process = psutil.Process(record["pid"])
            if abs(process.create_time() - record["created"]) < 0.05:
                found.append(Process(path.stem, process, Path(record["log"]), path))
    return found
