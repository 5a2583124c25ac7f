"""Passing the turn between processes step by step, so that both contenders meet the same noise of the machine."""

import json
import subprocess
import sys
import time
from typing import Any, Self


class Baton:
    """The contender's end: called at the end of each step, it tells the step's seconds and waits for the next turn."""

    def __init__(self) -> None:
        self._out = sys.stdout
        sys.stdout = sys.stderr  # what libraries print must not mix with the figures
        self._began = self._began_cpu = 0.0

    def wait_for_turn(self) -> None:
        sys.stdin.readline()
        self._began, self._began_cpu = time.perf_counter(), time.process_time()

    def step_ended(self, loss: float) -> None:
        seconds, cpu_seconds = time.perf_counter() - self._began, time.process_time() - self._began_cpu
        self._out.write(json.dumps({"seconds": seconds, "cpuSeconds": cpu_seconds, "loss": loss}) + "\n")
        self._out.flush()
        self.wait_for_turn()


class Contender:
    """The referee's end: a contender's process."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.losses: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._process.kill()
        self._process.wait()

    def turn(self) -> float:
        """Let it do one step; the step's seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        figures = json.loads(line)
        self.seconds.append(figures["seconds"])
        self.cpu_seconds.append(figures["cpuSeconds"])
        self.losses.append(figures["loss"])
        return float(figures["seconds"])
