"""The parts of the screen that are text, from what is known. Pure."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pretrain_api.events import ProgressEvent
from pretrain_api.stages import Stage
from pretrain_api.types.status import StageStatus
from pretrain_cli.cluster.table import age
from pretrain_cli.display import recovery as words
from pretrain_cli.display import story
from pretrain_cli.display.live import SIGNS
from pretrain_cli.display.wording import Rate, duration, give_or_take, percent, progress, trained
from pretrain_cli.watch.news import Known

_BAR_WIDTH = 16


def head(known: Known, now: datetime) -> Text:
    """Name, state and time; what keeps it from going on."""
    status = known.status
    line = Text.assemble((known.name, "bold"), "  ", (status.state, "bold cyan"))
    if status.start_time:
        seconds = ((status.completion_time or now) - status.start_time).total_seconds()
        line.append(f"  {duration(max(0.0, seconds))}")
    told = known.progress
    if status.state == "Training" and told.estimated_completion_time:
        left = max(0.0, (told.estimated_completion_time - now).total_seconds())
        line.append(f"  {duration(left)}{give_or_take(left, told.completion_error_seconds)} left")
    summed = next((c.message for c in status.conditions if c.type == "Succeeded"), "")
    for why in (known.note, summed if status.state in ("Failed", "Stalled", "Suspended") else ""):
        if why:
            line.append(f"\n{' '.join(why.split())}", "yellow")
    return line


def stages(known: Known) -> Table:
    """A row for each stage, the one at work with a bar."""
    table = Table.grid(padding=(0, 1), expand=True)
    for ratio in (0, 0, 0, 1):
        table.add_column(ratio=ratio or None, no_wrap=True)
    for stage in known.status.stages:
        sign, style = SIGNS[stage.state]
        table.add_row(
            Text(sign, style),
            Text(stage.name),
            _bar(known, stage),
            Text(_detail(known, stage), "dim", no_wrap=True, overflow="ellipsis"),
        )
    return table


def _bar(known: Known, stage: StageStatus) -> RenderableType:
    event = _newest(known, stage)
    if stage.state != "Running" or event is None or not event.total:
        return ""
    return ProgressBar(total=event.total, completed=min(event.done, event.total), width=_BAR_WIDTH)


def _newest(known: Known, stage: StageStatus) -> ProgressEvent | None:
    """None of a stage that only another version knows, too."""
    return known.newest.get(Stage(stage.name)) if stage.name in set(Stage) else None


def _detail(known: Known, stage: StageStatus) -> str:
    if stage.state == "Complete":
        took = "" if stage.message.startswith("skipped") else duration(story.seconds(stage))
        return ", ".join(part for part in (took, stage.message) if part)
    event = _newest(known, stage)
    if stage.state == "Running" and event:
        return progress(Stage(stage.name), event, known.rates.get(Stage(stage.name), Rate("", 0.0, 0.0)))
    return stage.message.splitlines()[0] if stage.message else ""


def figures(known: Known, now: datetime) -> Group:
    """Progress of training, the workers, the newest checkpoint, goodput."""
    status = known.status
    table = Table.grid(padding=(0, 2))
    rows: list[tuple[str, str]] = []
    done, world = known.progress, status.world
    if done.total_steps:
        rows.append(("step", f"{done.step}/{done.total_steps}"))
        rows += zip(("seen", "speed"), trained(done), strict=False)
        rows.append(("loss", done.loss or "-"))
    if done.mfu_ratio:
        rows.append(("MFU", percent(done.mfu_ratio)))
    if done.data_wait_ratio:
        rows.append(("data wait", percent(done.data_wait_ratio)))
    if status.goodput_ratio:
        rows.append(("goodput", percent(status.goodput_ratio)))
    if world.workers:
        rows.append(("workers", f"{world.ready}/{world.workers}, generation {world.generation}"))
    if status.checkpoint:
        when = f", {age(status.checkpoint.time, now)} ago" if status.checkpoint.time else ""
        rows.append(("checkpoint", f"step {status.checkpoint.step}{when}"))
    for name, value in rows:
        table.add_row(Text(name, "dim"), Text(value))
    return Group(table)


def incidents(known: Known) -> Group:
    """How many there were, and each in a line, the newest first."""
    tally = words.tally(known.status.recovery) or "none so far"
    lines = [Text(incident, no_wrap=True, overflow="ellipsis") for incident in reversed(known.incidents)]
    return Group(Text(tally, "dim"), *lines)
