"""Progress as a live table on a terminal: one row per stage, the one at work with a bar."""

import sys
import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pretrain_api.events import ProgressEvent
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import StageStatus
from pretrain_cli.display import story
from pretrain_cli.display.wording import Rate, duration, progress
from pretrain_operator.bodies.local.run import View

SIGNS = {"Complete": ("✓", "green"), "Running": ("●", "cyan"), "Failed": ("✗", "red"), "Pending": ("·", "dim")}


class LiveDisplay:
    """Redraws the table after every view. No thread of its own: programs are started from the only one there is."""

    def __init__(self, name: str, status: PretrainJobStatus) -> None:
        self._name, self._before = name, status
        self._rate: dict[Stage, Rate] = {}
        self._newest: dict[Stage, ProgressEvent] = {}
        self._attempt: dict[str, tuple[int, float]] = {}
        """Number of a stage's present attempt, and when it was first seen."""
        self._console = Console(file=sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def __enter__(self) -> "LiveDisplay":
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, view: View) -> None:
        """Redraw, and print above the table what is worth keeping."""
        for stage, event in view.events:
            self._rate[stage] = self._rate.get(stage, Rate("", 0.0, 0.0)).after(event)
            self._newest[stage] = event
            if event.message:
                self.say(f"{stage}: {event.message}")
        for note in view.notes:
            self.say(note)
        for line in story.lines(self._before, view.status):
            if "failed" in line or "stopped" in line:
                self.say(line)
        self._before = view.status
        for entry in view.status.stages:
            if entry.state == "Running" and self._attempt.get(entry.name, (0, 0.0))[0] != entry.attempts:
                self._attempt[entry.name] = entry.attempts, time.monotonic()
                self._newest.pop(Stage(entry.name), None)
        self._live.update(self._table(view.status), refresh=True)

    def say(self, line: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(line))

    def _table(self, status: PretrainJobStatus) -> Group:
        table = Table.grid(padding=(0, 1))
        for stage in status.stages:
            sign, style = SIGNS[stage.state]
            table.add_row(Text(sign, style), Text(stage.name), self._bar(stage), Text(self._detail(stage), "dim"))
        return Group(Text(f"{self._name}: {status.state}", "bold"), table)

    def _bar(self, stage: StageStatus) -> ProgressBar | Text:
        event = self._newest.get(Stage(stage.name))
        if stage.state != "Running" or event is None or not event.total:
            return Text("")
        return ProgressBar(total=event.total, completed=min(event.done, event.total), width=24)

    def _detail(self, stage: StageStatus) -> str:
        if stage.state == "Complete":
            if stage.message.startswith("skipped"):
                return stage.message
            return ", ".join(part for part in (duration(story.seconds(stage)), stage.message) if part)
        if stage.state == "Running":
            event = self._newest.get(Stage(stage.name))
            if event:
                return progress(Stage(stage.name), event, self._rate[Stage(stage.name)])
            return f"starting, {duration(time.monotonic() - self._attempt[stage.name][1])}"
        return stage.message.splitlines()[0] if stage.state == "Failed" and stage.message else ""
