"""Jobs as a table with the CRD's own columns. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from pretrain_api.crd import COLUMNS
from pretrain_cli.display.printable import escaped

Job = dict[str, object]
_GAP = "   "
_NOTHING = "-"


def header(wide: bool, all_namespaces: bool) -> list[str]:
    """The columns' names."""
    columns = [name.upper() for name, _, _, priority in COLUMNS if wide or not priority]
    return ["NAMESPACE"] * all_namespaces + ["NAME", *columns]


def row(job: Job, wide: bool, all_namespaces: bool, now: datetime) -> list[str]:
    """A job's cells."""
    cells = [_cell(job, path, kind, now) for _, kind, path, priority in COLUMNS if wide or not priority]
    names = [".metadata.namespace", ".metadata.name"] if all_namespaces else [".metadata.name"]
    return [*(_cell(job, path, "string", now) for path in names), *cells]


def aligned(rows: Sequence[Sequence[str]], widths: Iterable[int] = ()) -> Iterator[str]:
    """The rows as lines, each column as wide as its widest cell and at least as wide as given."""
    needed = column_widths(rows, widths)
    for cells in rows:
        yield _GAP.join(f"{cell:<{width}}" for cell, width in zip(cells, needed, strict=True)).rstrip()


def column_widths(rows: Sequence[Sequence[str]], widths: Iterable[int] = ()) -> list[int]:
    """Width of every column."""
    least = list(widths) or [0] * len(rows[0])
    return [max(width, *(len(cells[at]) for cells in rows)) for at, width in enumerate(least)]


def age(since: datetime, now: datetime) -> str:
    """12s, 5m12s, 7h3m, 4d2h: two units, as kubectl writes it."""
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes}m{seconds}s" if seconds else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, hours = divmod(hours, 24)
    if days < 8:
        return f"{days}d{hours}h" if hours else f"{days}d"
    return f"{days}d"


def moment(text: object) -> datetime | None:
    """A time as Kubernetes writes it."""
    if not isinstance(text, str) or not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _cell(job: Job, path: str, kind: str, now: datetime) -> str:
    value: object = job
    for part in path.split(".")[1:]:
        value = value.get(part) if isinstance(value, dict) else None
    if kind == "date":
        since = moment(value)
        return age(since, now) if since else _NOTHING
    return _NOTHING if value in (None, "") else escaped(str(value))
