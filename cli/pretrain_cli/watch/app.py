"""The screen of `pretrain watch`, by textual. It draws what is known and asks the source for more in a thread of its own."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import Resize
from textual.widgets import Footer, RichLog, Static

from pretrain_api.errors import EXIT_OK, PretrainError
from pretrain_cli.display.printable import escaped
from pretrain_cli.watch import panels
from pretrain_cli.watch.loss_plot import drawn
from pretrain_cli.watch.news import Known, Look, Source

_LOOK_SECONDS = 1.0
_KEPT_LINES = 10_000


class LossPlot(Static):
    """The curve, drawn again for each size."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._losses: dict[int, float] = {}
        self.log_scale = False

    def show(self, losses: dict[int, float]) -> None:
        """Draw these."""
        self._losses = losses
        curve = drawn(losses, self.content_size.width, self.content_size.height, self.log_scale)
        self.update(Text(curve, no_wrap=True) if curve else Text("no loss yet", "dim"))

    def on_resize(self, _: Resize) -> None:
        self.show(self._losses)


def shown(source: Source, *, headless: bool = False) -> int:
    """Show a job until the view is closed; the exit code. Raises the error that ended it."""
    app = WatchApp(source)
    if error := app.run(headless=headless):
        raise error
    return app.return_code or EXIT_OK  # a defect ends the view with a code alone, which is told already


class WatchApp(App[PretrainError]):
    """One job. What it returns is the error that ended it, if one did."""

    CSS = """
    #head { height: auto; max-height: 6; padding: 0 1; }
    #upper { height: 2fr; }
    #middle { height: 1fr; min-height: 6; }
    #stages, #figures, #incidents, #loss, #logs { border: round $primary; padding: 0 1; border-title-color: $text; }
    #stages { width: 2fr; }
    #loss { width: 3fr; height: 1fr; }
    #figures { width: 2fr; }
    #incidents { width: 3fr; }
    #logs { height: 2fr; scrollbar-size-horizontal: 0; }
    .logs-alone #upper, .logs-alone #middle { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("y", "log_scale", "Log scale"),
        Binding("l", "logs_alone", "Logs alone"),
        Binding("p", "pause_logs", "Pause logs"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._known = Known()
        self._left = threading.Event()

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with Horizontal(id="upper"):
            yield VerticalScroll(Static(id="stage-table"), id="stages")
            yield LossPlot(id="loss")
        with Horizontal(id="middle"):
            yield VerticalScroll(Static(id="figure-table"), id="figures")
            yield VerticalScroll(Static(id="incident-list"), id="incidents")
        yield RichLog(id="logs", max_lines=_KEPT_LINES, wrap=False)
        yield Footer()

    def on_mount(self) -> None:
        for name, title in (
            ("stages", "Stages"),
            ("figures", "Training"),
            ("incidents", "Incidents"),
            ("logs", "Logs"),
        ):
            self.query_one(f"#{name}").border_title = title
        self._title_plot()
        self.run_worker(self._ask, thread=True)

    def on_unmount(self) -> None:
        self._left.set()

    def _ask(self) -> None:
        """Look until the screen is closed or nothing new can come."""
        while not self._left.is_set():
            try:
                look = self._source.look()
            except PretrainError as error:
                self.call_from_thread(self.exit, error)
                return
            self.call_from_thread(self._take_in, look)
            if look.is_over:
                return
            self._left.wait(_LOOK_SECONDS)

    def _take_in(self, look: Look) -> None:
        self._known = self._known.after(look)
        logs = self.query_one("#logs", RichLog)
        for line in look.lines:
            logs.write(Text(escaped(line)))
        now = datetime.now(UTC)
        self.query_one("#head", Static).update(panels.head(self._known, now))
        self.query_one("#stage-table", Static).update(panels.stages(self._known))
        self.query_one("#figure-table", Static).update(panels.figures(self._known, now))
        self.query_one("#incident-list", Static).update(panels.incidents(self._known))
        self._draw_plot()

    def _draw_plot(self) -> None:
        self.query_one(LossPlot).show(dict(self._known.losses))

    def _title_plot(self) -> None:
        plot = self.query_one(LossPlot)
        plot.border_title = "Loss, log scale" if plot.log_scale else "Loss"

    def action_log_scale(self) -> None:
        plot = self.query_one(LossPlot)
        plot.log_scale = not plot.log_scale
        self._title_plot()
        self._draw_plot()

    def action_logs_alone(self) -> None:
        self.screen.toggle_class("logs-alone")

    def action_pause_logs(self) -> None:
        logs = self.query_one("#logs", RichLog)
        logs.auto_scroll = not logs.auto_scroll
        logs.border_title = "Logs" if logs.auto_scroll else "Logs (paused)"
