"""What a look at a job brings, and what is kept of all looks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from pretrain_api.events import ProgressEvent
from pretrain_api.nouns import counted
from pretrain_api.recoveries import Recovery
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Progress
from pretrain_cli.display import story
from pretrain_cli.display.printable import escaped
from pretrain_cli.display.wording import Rate
from pretrain_operator.brain.progress import of_figures

MOST_INCIDENTS = 200


@dataclass(frozen=True)
class Look:
    """What is new since the look before."""

    time: datetime
    name: str
    status: PretrainJobStatus
    events: Sequence[tuple[Stage, ProgressEvent]] = ()
    steps: Sequence[Mapping[str, Any]] = ()
    """Lines of the run's history, as `pretrain_api.step_history` reads them."""
    lines: Sequence[str] = ()
    """Of the logs, each with where it comes from."""
    note: str = ""
    """What keeps the job from going on, or the view from being whole."""
    is_over: bool = False
    """Whether nothing new can come."""


class Source(Protocol):
    """Where a job's news come from. `look` is called from one thread, again and again, and may take its time."""

    def look(self) -> Look:
        """What is new. Raises PretrainError when there is no such job or it cannot be reached."""
        ...


@dataclass(frozen=True)
class Known:
    """All that the screen shows but the logs."""

    name: str = ""
    status: PretrainJobStatus = field(default_factory=PretrainJobStatus)
    losses: Mapping[int, float] = field(default_factory=dict)
    """Nats per token by step. A step that was done again has its newest loss."""
    incidents: tuple[str, ...] = ()
    """Oldest first."""
    newest: Mapping[Stage, ProgressEvent] = field(default_factory=dict)
    rates: Mapping[Stage, Rate] = field(default_factory=dict)
    note: str = ""

    @property
    def progress(self) -> Progress:
        """How far training is, as told last: a status is written every half minute, events come at every step."""
        recorded, event = self.status.progress, self.newest.get(Stage.TRAIN)
        if self.status.state != "Training" or event is None or "step" not in event.figures:
            return recorded
        time = datetime.fromtimestamp(event.time, UTC)
        is_newer = recorded.update_time is None or time > recorded.update_time
        return of_figures(event.figures, time) if is_newer else recorded

    def after(self, look: Look) -> Known:
        """With the news of one more look."""
        losses, newest, rates = dict(self.losses), dict(self.newest), dict(self.rates)
        losses |= {int(step["step"]): float(step["loss"]) for step in look.steps if step.get("loss") is not None}
        for stage, event in look.events:
            newest[stage] = event
            rates[stage] = rates.get(stage, Rate("", 0.0, 0.0)).after(event)
            if "loss" in event.figures and "step" in event.figures:
                losses[int(event.figures["step"])] = event.figures["loss"]
        told = [*_of_history(look.steps), *_of_events(look.events), *_of_status(self, look)]
        fresh = [incident for incident in dict.fromkeys(told) if incident not in self.incidents]
        return replace(
            self,
            name=look.name,
            status=look.status,
            losses=losses,
            incidents=(*self.incidents, *fresh)[-MOST_INCIDENTS:],
            newest=newest,
            rates=rates,
            note=look.note,
        )


def _of_history(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    found = [Recovery.model_validate(each) for step in steps for each in step.get("recoveries", ())]
    return [recovered(each) for each in found]


def _of_events(events: Iterable[tuple[Stage, ProgressEvent]]) -> list[str]:
    return [recovered(event.recovery) for _, event in events if event.recovery]


def _of_status(known: Known, look: Look) -> list[str]:
    """Failures and pauses since the look before; of the first look, the last failure alone."""
    status = look.status
    if known.name:
        lines = story.lines(known.status, status)
        return [_at(look.time, line) for line in lines if "failed" in line or "stopped" in line]
    failure = status.recovery.last_failure
    if failure is None or failure.time is None:
        return []
    last = failure.message.splitlines()[-1] if failure.message else ""
    return [_at(failure.time, f"{failure.stage}: failed, {failure.kind}: {last}")]


def recovered(recovery: Recovery) -> str:
    """A recovery in a line."""
    who = f"rank {recovery.rank} lost" if recovery.rank >= 0 else recovery.worker
    lost = f"{counted(recovery.lost_steps, 'step')} lost"
    what = f"{recovery.kind}: {who} ({recovery.cause}); {recovery.seconds:.2f} s to the next step, {lost}"
    return _at(recovery.time, escaped(what))


def _at(time: datetime, text: str) -> str:
    return f"{time.astimezone():%m-%d %H:%M:%S}  {text}"
