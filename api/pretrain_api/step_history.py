"""The figures of each training step, put together from the files that the commits name.

A run that went back to an earlier checkpoint repeats steps; what a later commit says replaces what was said before
from its first step on. No plots here.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from pretrain_api import layout
from pretrain_api.commits import RECORDS, Commit
from pretrain_api.errors import UserError
from pretrain_api.recoveries import Recovery
from pretrain_api.storage import Storage

_Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class _Read(BaseModel):
    """Of what a step read, as much as is shown."""

    samples: tuple[_Count, _Count] = (0, 0)


class _Line(BaseModel):
    """What readers of a line rely on. A newer version may write more."""

    model_config = ConfigDict(alias_generator=to_camel, allow_inf_nan=False, strict=True)

    step: _Count
    loss: float | None = None
    tokens: _Count = 0
    learning_rate: float = 0.0
    gradient_norm: float | None = None
    tokens_per_second: float = 0.0
    seconds_per_step: float = 0.0
    data_wait_seconds: float = 0.0
    by_source: dict[str, float | None] = {}
    validation: dict[str, float | None] = {}
    read: _Read = _Read()
    recoveries: list[Recovery] = []


@dataclass(frozen=True)
class Stretch:
    """The part of a history file that stands: steps `first` to `last`, both included."""

    history: str
    """The file, relative to the storage."""
    first: int
    last: int


def standing(spans: Iterable[tuple[str, int, int]]) -> list[Stretch]:
    """What stands of history files (name, first step, last step) that are given in the order of their commits."""
    stretches: list[Stretch] = []
    for history, first, last in spans:
        while stretches and stretches[-1].first >= first:
            stretches.pop()
        if stretches and stretches[-1].last >= first:
            stretches[-1] = Stretch(stretches[-1].history, stretches[-1].first, first - 1)
        if last >= first:
            stretches.append(Stretch(history, first, last))
    return stretches


def commits(storage: Storage) -> list[Commit]:
    """All commits of the log, oldest first, for readers who only look: a record that cannot be read is passed over."""
    found = []
    for name in storage.names(layout.COMMIT_LOG):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, ValidationError):
            record = RECORDS.validate_json(storage.read_bytes(f"{layout.COMMIT_LOG}/{name}"))
            if isinstance(record, Commit):
                found.append(record)
    return found


def read_steps(storage: Storage, commits: Iterable[Commit]) -> Iterator[dict[str, Any]]:
    """The figures of each step once, in order, from commits in the log's order. One file is in memory at a time.

    Raises UserError where a file is damaged or gone.
    """
    for _, steps in read_stretches(storage, commits):
        yield from steps


def read_stretches(storage: Storage, commits: Iterable[Commit]) -> Iterator[tuple[Commit, list[dict[str, Any]]]]:
    """The same by the commit that they stand in. A commit of which nothing stands any more is left out."""
    by_history = {commit.history: commit for commit in commits if commit.history}
    for stretch in standing(_spans(storage, by_history)):
        lines = _read(storage, stretch.history)
        yield by_history[stretch.history], [line for line in lines if stretch.first <= line["step"] <= stretch.last]


def _spans(storage: Storage, histories: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    for history in histories:
        lines = _lines(storage, history)
        first, last = (_line(storage, history, number, lines[number - 1]) for number in (1, len(lines)))
        yield history, first["step"], last["step"]


def _read(storage: Storage, history: str) -> list[dict[str, Any]]:
    lines = enumerate(_lines(storage, history), start=1)
    return [_line(storage, history, number, line) for number, line in lines]


def _lines(storage: Storage, history: str) -> list[bytes]:
    """At least one: a commit names no history that has none."""
    try:
        lines = storage.read_bytes(history).splitlines()
    except FileNotFoundError:
        raise _unreadable(storage, history, "it is gone, though a checkpoint names it") from None
    except (IsADirectoryError, NotADirectoryError):
        raise _unreadable(storage, history, "a folder stands where the file should, or a file in its way") from None
    if not lines:
        raise _unreadable(storage, history, "it is empty")
    return lines


def _line(storage: Storage, history: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        _Line.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise _unreadable(storage, history, f"line {number} is damaged ({where}{first['msg']})") from None
    return dict(json.loads(line))


def _unreadable(storage: Storage, history: str, what: str) -> UserError:
    instead = "Put the file back from a copy of the storage, if there is one. No checkpoint is lost with it."
    return UserError(
        "run-unreadable", storage.uri(history), f"{what}: the figures of its steps cannot be read.", instead
    )
