"""What the programs behind commands show while they work: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


class Bar:
    """Progress of one piece of work on standard error. A context manager."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        """`unit`: "bytes", or what is counted, such as "shards"."""
        self._what, self._total, self._unit, self._done = what, total, unit, 0
        self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        counted = DownloadColumn(binary_units=True) if unit == "bytes" else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), counted, TimeRemainingColumn())
        self._bar = (
            Progress(*columns, console=Console(file=sys.stderr), transient=True) if sys.stderr.isatty() else None
        )
        self._task = self._bar.add_task(what, total=total) if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, amount: int) -> None:
        """So much more is done."""
        self._done += amount
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self._done)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
            share = f" ({self._done / self._total:.0%})" if self._total else ""
            say(f"{self._what}: {self._done:,} of {self._total:,} {self._unit}{share}")


def say(line: str) -> None:
    """A line on standard error."""
    print(line, file=sys.stderr)  # noqa: T201 - what a program tells its user
