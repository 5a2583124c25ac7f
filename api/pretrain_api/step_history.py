"""The figures of each training step, put together from the files that the commits name.

A run that went back to an earlier checkpoint repeats steps; what a later commit says replaces what was said before
from its first step on. No plots here.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pretrain_api import layout
from pretrain_api.commits import RECORDS, Commit
from pretrain_api.storage import Storage


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
        with contextlib.suppress(FileNotFoundError, ValidationError):
            record = RECORDS.validate_json(storage.read_bytes(f"{layout.COMMIT_LOG}/{name}"))
            if isinstance(record, Commit):
                found.append(record)
    return found


def read_steps(storage: Storage, commits: Iterable[Commit]) -> Iterator[dict[str, Any]]:
    """The figures of each step once, in order, from commits in the log's order. One file is in memory at a time."""
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
        if lines := storage.read_bytes(history).splitlines():
            yield history, json.loads(lines[0])["step"], json.loads(lines[-1])["step"]


def _read(storage: Storage, history: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in storage.read_bytes(history).splitlines()]
