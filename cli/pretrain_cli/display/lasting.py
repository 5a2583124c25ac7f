"""A display that may lose its terminal or pipe. The run goes on without it, and still stops as it was asked to."""

from collections.abc import Callable

from pretrain_cli.display.live import LiveDisplay
from pretrain_cli.display.plain import PlainDisplay
from pretrain_operator.bodies.local.run import View


class LastingDisplay:
    """Shows what another display shows until that one cannot be written to any more."""

    def __init__(self, display: LiveDisplay | PlainDisplay) -> None:
        self._display = display
        self._lost = False

    def __enter__(self) -> "LastingDisplay":
        self._try(self._display.__enter__)
        return self

    def __exit__(self, *_: object) -> None:
        self._try(lambda: self._display.__exit__(None, None, None))

    def show(self, view: View) -> None:
        """Show what is new."""
        self._try(lambda: self._display.show(view))

    def say(self, line: str) -> None:
        """Print a line."""
        self._try(lambda: self._display.say(line))

    def _try(self, write: Callable[[], object]) -> None:
        if self._lost:
            return
        try:
            write()
        except OSError:  # a closed terminal answers EIO, a pipe without a reader EPIPE, a full disk ENOSPC
            self._lost = True
