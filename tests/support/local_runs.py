"""`pretrain run` as a real process, for tests that interrupt it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import yaml
from support.eventually import eventually
from support.jobs import JobBuilder

PRETRAIN = str(Path(sys.executable).parent / "pretrain")


class LocalRun:
    """One `pretrain run` of a job. Its output goes to a file beside the job."""

    def __init__(self, folder: Path, job: JobBuilder, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.storage = Path(job.spec.storage.uri)
        self._before = self.status
        self.file = folder / "job.yaml"
        self.file.write_text(yaml.safe_dump(job.manifest))
        self._output = folder / f"output-{len(list(folder.glob('output-*')))}.txt"
        with open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                [PRETRAIN, "run", str(self.file), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def status(self) -> dict[str, Any]:
        """The recorded status; empty before there is one."""
        try:
            found: dict[str, Any] = json.loads((self.storage / "status.json").read_text())["status"]
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return found

    def stage(self, name: str) -> dict[str, Any]:
        """The recorded status of a stage; empty before there is one."""
        return next((s for s in self.status.get("stages", []) if s["name"] == name), {})

    def programs(self) -> list[psutil.Process]:
        """Everything below `pretrain run`, parents first."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def ranks(self) -> list[psutil.Process]:
        """The processes that train."""
        return [p for p in self.programs() if _name(p).startswith("rank ")]

    def until(self, state: str, within_seconds: float = 120) -> LocalRun:
        """Wait until this run has recorded the given state; what an earlier one left does not count."""

        def look() -> tuple[str, int | None, str]:
            status = self.status
            return "" if status == self._before else status.get("state", ""), self.ended, self.output[-3000:]

        eventually(look, lambda seen: seen[0] == state or seen[1] is not None, within_seconds)
        assert self.status.get("state") == state, self.output
        return self

    @property
    def ended(self) -> int | None:
        return self.process.poll()

    def signalled(self, number: signal.Signals) -> LocalRun:
        self.process.send_signal(number)
        return self

    def exit_code(self, within_seconds: float = 120) -> int:
        """Wait for the end."""
        eventually(lambda: (self.ended, self.output[-3000:]), lambda s: s[0] is not None, within_seconds)
        return self.process.returncode


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
