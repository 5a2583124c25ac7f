"""Lines of a pod's log: their times, their ranks, what was read already, and how they are shown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_RANK = re.compile(rb"\[rank(\d+)\]: ?")
"""What PyTorch's own exception hook and C++ log put before a line."""
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
"""ANSI colours for neighbouring workers; red is left to errors."""


@dataclass(frozen=True)
class LogLine:
    """A line as a kubelet gives it with `timestamps`."""

    time: bytes
    """As the kubelet wrote it: RFC 3339 with nanoseconds, UTC."""
    text: bytes

    @property
    def key(self) -> bytes:
        """Sorts as the time does: fractions of a second are padded, as kubelets leave trailing zeros out."""
        seconds, _, fraction = self.time.rstrip(b"Z").partition(b".")
        return seconds + b"." + fraction.ljust(9, b"0")

    @property
    def raw(self) -> bytes:
        """The line as it came."""
        return self.time + b" " + self.text if self.time else self.text


def parsed(line: bytes) -> LogLine:
    """A line of the log API. One without a time (the kubelet's own words) has an empty one."""
    time, _, text = line.partition(b" ")
    if len(time) >= 20 and time[4:5] == b"-" and time[10:11] == b"T":
        return LogLine(time, text)
    return LogLine(b"", line)


@dataclass(frozen=True)
class Position:
    """How far a log was read: the time of the last line, and how many lines of that very time were read."""

    key: bytes = b""
    count: int = 0
    time: bytes = b""

    def after(self, line: LogLine) -> Position:
        """The position with one more line read."""
        if not line.time:
            return self
        if line.key == self.key:
            return Position(self.key, self.count + 1, self.time)
        return Position(line.key, 1, line.time)

    @property
    def since(self) -> str:
        """`sinceTime` of the next read: whole seconds are all that the API keeps, so some lines come twice."""
        return self.time[:19].decode() + "Z" if self.time else ""


def unread(lines: Iterable[LogLine], position: Position) -> Iterator[LogLine]:
    """The lines after the position, of a log read again from a little earlier.

    Clocks step back: once the last line read has been met again, or a later one, everything that follows is new.
    """
    if not position.key:
        yield from lines
        return
    same, caught_up = 0, False
    for line in lines:
        if caught_up:
            yield line
        elif line.key > position.key:
            caught_up = True
            yield line
        elif line.key == position.key:
            same += 1
            caught_up = same == position.count


def rank_of(text: bytes) -> int:
    """The rank that a line names at its beginning; -1 when it names none."""
    match = _RANK.match(text)
    return int(match[1]) if match else -1


def without_rank(text: bytes) -> bytes:
    """The line without the ranks named at its beginning: it may stand there twice."""
    while match := _RANK.match(text):
        text = text[match.end() :]
    return text


@dataclass(frozen=True)
class Shown:
    """How lines are shown."""

    colour: bool = False
    timestamps: bool = False
    prefix: bool = True
    rank: int = -1
    """Only this rank's lines, and those that name no rank."""

    def line(self, line: LogLine, label: str, colour: int) -> bytes:
        """A line with its prefix, b"" when it is not wanted."""
        rank = rank_of(line.text)
        if self.rank >= 0 and rank >= 0 and rank != self.rank:
            return b""
        text = without_rank(line.text) if self.prefix else line.text
        head = f"{label} rank {rank}" if rank >= 0 else label
        parts = [self._painted(f"[{head}]", colour).encode()] if self.prefix else []
        if self.timestamps and line.time:
            parts.append(line.time)
        return b" ".join([*parts, text]) + b"\n"

    def _painted(self, text: str, colour: int) -> str:
        return f"\x1b[{_COLOURS[colour % len(_COLOURS)]}m{text}\x1b[0m" if self.colour else text
