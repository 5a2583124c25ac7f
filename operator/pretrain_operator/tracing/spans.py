"""What can be told to a trace, and how nothing is. No OpenTelemetry here: whoever wants no traces does not load it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from pretrain_operator.brain.recoveries import Recovered

Key = tuple[str, str]
"""Namespace and name of a job."""
Value = str | bool | int | float | Sequence[str]


class Span(Protocol):
    """Something that takes time, while it does."""

    def set_attribute(self, key: str, value: Value) -> None:
        """State something about it."""


class Traces(Protocol):
    """What the operator tells. Never waits for whoever listens, and never raises."""

    def reconcile(self, key: Key, uid: str) -> AbstractContextManager[Span]:
        """One look at a job and what follows from it. An exception that leaves the block is a part of it."""

    def at_work(self) -> str:
        """Identity of the trace that this is a part of; "" for none."""

    def request(self, method: str, path: str) -> AbstractContextManager[Span]:
        """A request to the API server with its repetitions, if it belongs to a reconcile that is traced."""

    def recovered(self, key: Key, uid: str, recovery: Recovered) -> str:
        """A recovery that is over. Gives the identity of its trace; "" for none."""

    def close(self) -> None:
        """Send what is left, if that goes quickly."""


class _Nothing(AbstractContextManager["_Nothing"]):
    """A span that nobody sees."""

    def __enter__(self) -> "_Nothing":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def set_attribute(self, key: str, value: Value) -> None:
        pass


NOTHING = _Nothing()


class _Untraced:
    """Nobody listens."""

    def reconcile(self, key: Key, uid: str) -> _Nothing:
        return NOTHING

    def request(self, method: str, path: str) -> _Nothing:
        return NOTHING

    def at_work(self) -> str:
        return ""

    def recovered(self, key: Key, uid: str, recovery: Recovered) -> str:
        return ""

    def close(self) -> None:
        pass


UNTRACED: Traces = _Untraced()
