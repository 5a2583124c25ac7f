"""The table of `pretrain top`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pretrain_cli.cluster.fleet import SORT_KEYS, UNREADABLE, Row, summary
from pretrain_cli.display.wording import duration, per_second

_STYLES = {
    "Training": "green",
    "Succeeded": "dim green",
    "Failed": "bold red",
    UNREADABLE: "bold red",
    "Stalled": "bold red",
    "Recovering": "yellow",
    "Pending": "yellow",
    "Queued": "yellow",
    "Suspended": "dim",
}
_BAR_WIDTH = 10
_FRAME_LINES = 4
"""Summary, empty line, header and the line of keys."""
_LOW_GOODPUT = 0.8


def table(rows: Sequence[Row], all_namespaces: bool, wide: bool = False) -> Table:
    """The rows in the order given. Wide: with all columns, and texts in full."""
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    if all_namespaces:
        shown.add_column("NAMESPACE", overflow="ellipsis", no_wrap=True)
    shown.add_column("NAME", overflow="ellipsis", no_wrap=True, min_width=8)
    for name in ("STATE", "DONE", "PROGRESS"):
        shown.add_column(name, no_wrap=True)
    for name in ("LOSS", "THROUGHPUT", "WORKERS", "GOODPUT", "ETA", "INCIDENTS"):
        shown.add_column(name, justify="right", no_wrap=True)
    if wide:
        shown.add_column("AGE", justify="right", no_wrap=True)
    shown.add_column("LAST INCIDENT", overflow="fold" if wide else "ellipsis", no_wrap=not wide)
    for row in rows:
        *cells, incident = _cells(row)
        more = [duration(row.age_seconds)] if wide else []
        shown.add_row(*([Text(row.namespace)] if all_namespaces else []), *cells, *more, incident)
    return shown


def screen(rows: Sequence[Row], all_namespaces: bool, key: str, reverse: bool, height: int, note: str) -> Group:
    """The live view: the sum, as many rows as fit, and what the keys do. `note`: why there are none."""
    room = max(1, height - _FRAME_LINES)
    fit = rows if len(rows) <= room else rows[: room - 1]
    parts: list[RenderableType] = [Text(summary(rows), "bold"), Text(note, "dim"), table(fit, all_namespaces)]
    if len(fit) < len(rows):
        parts.append(Text(f"and {len(rows) - len(fit)} more", "dim"))
    keys = " ".join(f"{name[0]}:{name}" for name in SORT_KEYS)
    order = f"by {key}, {SORT_KEYS[key][1]} {'last' if reverse else 'first'}"
    return Group(*parts, Text(f"{order}   {keys} r:reverse q:quit", "dim"))


def _cells(row: Row) -> list[RenderableType]:
    lacks = row.ready < row.workers and _throughput(row) != "-"
    low = row.goodput_ratio is not None and row.goodput_ratio < _LOW_GOODPUT
    return [
        Text(row.name),
        Text(row.state, _STYLES.get(row.state, "cyan")),
        ProgressBar(total=1.0, completed=row.done_ratio, width=_BAR_WIDTH),
        row.progress,
        Text(row.loss or "-"),
        _throughput(row),
        Text(f"{row.ready}/{row.workers}" if row.workers else "-", "yellow" if lacks else ""),
        Text("-" if row.goodput_ratio is None else f"{100 * row.goodput_ratio:.1f} %", "yellow" if low else ""),
        "-" if row.seconds_left is None else duration(row.seconds_left),
        str(row.incidents) if row.incidents else "-",
        Text(row.last_incident, "dim"),
    ]


def _throughput(row: Row) -> str:
    if row.tokens_per_second:
        return per_second(row.tokens_per_second, "tokens")
    return per_second(row.images_per_second, "images") if row.images_per_second else "-"
