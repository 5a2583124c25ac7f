"""Waiting until the status of jobs says what is wanted, over lost connections, until a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import Connection
from pretrain_cli.cluster.waiting import Look


@dataclass(frozen=True)
class Result:
    """How a wait ended, and the last status seen."""

    name: str
    state: Literal["reached", "unreachable", "timeout"]
    why: str
    status: PretrainJobStatus


def waited(connection: Connection, names: Sequence[str], look: Look, end: float) -> Iterator[Result]:
    """The result of every job as it comes, until the monotonic time `end`. One that is deleted is out of reach.

    Raises UserError when there is no job of a name to begin with.
    """
    seen: dict[str, PretrainJobStatus] = {}
    pending = dict.fromkeys(names)
    for change in jobs.changes(connection, names[0] if len(pending) == 1 else "", end=end):
        here = {job["metadata"]["name"]: job for job in change.objects}
        if change.kind == "Listed":
            missing = [name for name in pending if name not in here]
        else:
            missing = [name for name in pending if name in here and change.kind == "Deleted"]
        for name in missing:
            if name not in seen:
                raise jobs.unknown(connection, name)
            del pending[name]
            yield Result(name, "unreachable", "the job was deleted", seen[name])
        for name in [name for name in pending if name in here]:
            seen[name] = jobs.status(here[name])
            answer = look(seen[name])
            if answer.state != "waiting":
                del pending[name]
                yield Result(name, answer.state, answer.why, seen[name])
        if not pending:
            return
    for name in pending:
        yield Result(name, "timeout", f"not in time; it is {seen[name].state}", seen[name])
