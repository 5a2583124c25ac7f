"""Progress of a stage program: lines for its body, at most a few a second, and lines of its log, a few a minute."""

import logging
import os
import time

from pretrain_api import goodput
from pretrain_api.events import ENV_EVENTS, ProgressEvent, ReportedCheckpoint
from pretrain_api.nouns import counted
from pretrain_api.recoveries import Recovery
from pretrain_api.silence import Silence

_SECONDS_BETWEEN_LINES = 0.25
_SECONDS_BETWEEN_LOG_LINES = 10.0
_LOGGER = logging.getLogger(__name__)


class Progress:
    """Appends `ProgressEvent` lines to the file that the body named, where it named one, and logs some of them."""

    def __init__(self, stage: str, path: str | None = None) -> None:
        """`path`: the file instead of the body's; "" for a rank that keeps silent."""
        self._stage = stage
        self._path = os.environ.get(ENV_EVENTS) if path is None else path
        self._is_silent = path == ""
        self._next = self._next_log = 0.0
        self._phase = ""
        self._checkpoint: ReportedCheckpoint | None = None

    def update(
        self,
        phase: str,
        done: float,
        total: float | None = None,
        unit: str = "",
        message: str = "",
        checkpoint: ReportedCheckpoint | None = None,
        **figures: float,
    ) -> None:
        """Tell how far a phase is. Lines in between are dropped, never a new phase, a message, another checkpoint or
        the last line."""
        now = time.monotonic()
        is_news = message or phase != self._phase or checkpoint != self._checkpoint or done == total
        if self._is_silent or (now < self._next and not is_news):
            return
        is_landmark = message or phase != self._phase or (done == total and done > 0)
        self._next, self._phase, self._checkpoint = now + _SECONDS_BETWEEN_LINES, phase, checkpoint
        event = ProgressEvent(
            time=time.time(),
            stage=self._stage,
            phase=phase,
            done=done,
            total=total,
            unit=unit,
            message=message,
            figures=figures,
            checkpoint=checkpoint,
        )
        if is_landmark or now >= self._next_log:
            self._next_log = now + _SECONDS_BETWEEN_LOG_LINES
            _LOGGER.info(logged(event))
        self._write(event)

    def recovered(self, recovery: Recovery) -> None:
        """Tell of a recovery that is complete."""
        lost = f"rank {recovery.rank} was lost" if recovery.kind == "Restart" else "the roster changed"
        message = (
            f"training goes on {recovery.seconds:.1f} s after {lost} ({recovery.cause}), "
            f"{counted(recovery.lost_steps, 'step')} lost"
        )
        event = ProgressEvent(time=time.time(), stage=self._stage, phase="step", message=message, recovery=recovery)
        _LOGGER.info(message)
        self._write(event)

    def silent(self, silence: Silence) -> None:
        """Tell of workers that answer no more."""
        message = f"no answer any more: {', '.join(silence.workers)}"
        _LOGGER.error(message)
        self._write(ProgressEvent(time=time.time(), stage=self._stage, phase="step", message=message, silence=silence))

    def _write(self, event: ProgressEvent) -> None:
        if self._path:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(event.model_dump_json() + "\n")


def logged(event: ProgressEvent) -> str:
    """A progress line as the log shows it: `step 120/600 steps, loss=4.31, tokensPerSecond=5923`, or its message."""
    if event.message:
        return event.message
    total = f"/{event.total:,.0f}" if event.total else ""
    counted = f" {event.done:,.0f}{total} {event.unit}".rstrip() if event.total or event.unit else ""
    # Said before, or of no use to a reader.
    unsaid = {
        "step",
        "totalSteps",
        "resumedStep",
        "checkpointStep",
        "secondsLeft",
        "secondsLeftError",
        goodput.SINCE,
        *goodput.FIGURES,
    }
    unsaid |= {name for name in ("skippedSteps", "standInSamples") if not event.figures.get(name)}
    if event.figures.get("slowRank", -1) < 0:
        unsaid |= {"slowRank", "slowTimes"}
    figures = [f"{name}={_figure(value)}" for name, value in event.figures.items() if name not in unsaid]
    return ", ".join([f"{event.phase}{counted}", *figures])


def _figure(value: float) -> str:
    """Whole numbers as they are, others as far as a reader looks."""
    return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
