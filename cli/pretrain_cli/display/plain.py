"""Progress as plain lines, for logs and pipes."""

import time

import click

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.display import story
from pretrain_cli.display.wording import Rate, progress
from pretrain_operator.bodies.local.run import View

_SECONDS_BETWEEN_LINES = 5.0


class PlainDisplay:
    """Prints a line when something happens, and every few seconds how far it is. `quiet`: only the former."""

    def __init__(self, status: PretrainJobStatus, quiet: bool = False) -> None:
        self._before, self._quiet = status, quiet
        self._rate: dict[Stage, Rate] = {}
        self._next = 0.0
        self._shown = ""

    def __enter__(self) -> "PlainDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def show(self, view: View) -> None:
        """Print what is new."""
        for note in (*view.notes, *story.lines(self._before, view.status)):
            self.say(note)
        self._before = view.status
        newest = ""
        for stage, event in view.events:
            self._rate[stage] = self._rate.get(stage, Rate("", 0.0, 0.0)).after(event)
            newest = f"{stage}: {progress(stage, event, self._rate[stage])}"
            if event.message:
                self.say(f"{stage}: {event.message}")
        self._shown = newest or self._shown
        if not any(
            stage.state == "Running" and self._shown.startswith(f"{stage.name}:") for stage in view.status.stages
        ):
            self._shown = ""  # Its stage has ended, and the line that tells so is printed.
        now = time.monotonic()
        if self._shown and now >= self._next and not self._quiet:
            self._next = now + _SECONDS_BETWEEN_LINES
            self.say(self._shown)
            self._shown = ""

    def say(self, line: str) -> None:
        """Print a line."""
        click.echo(line, err=True)
