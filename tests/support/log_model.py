"""Starts of a training that share a commit log, in a store that loses, delays and repeats: every interleaving, or random ones.

A writer is the program of a start: it lists the log, fences it, goes on from the newest commit and commits; on request it
also writes payloads, and removes those that are not needed any more. The store answers each of its operations; the answer to a
creation may be lost, and a creation without an answer may land at any later time. A crash is a writer that is not asked any
more. `Log` says what must hold after each step.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from pretrain_api.commits import Bad, Commit, Fence, Record
from pretrain_trainer.training import collection, log_protocol
from pretrain_trainer.training.log_protocol import Fenced

_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Unsafe(AssertionError):
    """The log is not what it must be."""


@dataclass(frozen=True)
class List:
    """Ask which slots are taken and read them: what lies in a slot never changes."""


@dataclass(frozen=True)
class Folders:
    """Ask which payloads there are."""


@dataclass(frozen=True)
class Put:
    """Write a payload."""

    folder: str


@dataclass(frozen=True)
class Load:
    """Read a payload."""

    folder: str


@dataclass(frozen=True)
class Remove:
    """Remove a payload."""

    folder: str
    keeps: int


@dataclass(frozen=True)
class Believed:
    """A writer says that its record of that nonce is in the log."""

    nonce: str
    record: Record


@dataclass(frozen=True)
class Writer:
    """A start: how many commits it makes, which checkpoint it finds damaged, and how many payloads it keeps."""

    name: str
    commits: int
    damaged: int = -1
    """Of the commits that it finds, counted from the newest; -1 for none."""
    keeps: int = 0
    """0: there are no payloads, and nothing is collected."""

    def program(self, protocol: ModuleType, collection: ModuleType) -> Generator[Any, Any, None]:
        """The operations of a start, and as values sent, the store's answers."""
        known = yield List()
        last = max((record.sequence for record in known), default=0)
        fence, before = yield from protocol.fencing(known, last, "f", f"{self.name}-fence", _TIME)
        bad = {record.of for record in before if isinstance(record, Bad)}
        mine = [record for record in before if isinstance(record, Commit)]
        if self.keeps:
            fenced = Fenced([*before, fence], fence.generation, fence.sequence + 1, is_whole=True)
            there = yield Folders()
            for folder in collection.abandoned(there, fenced):
                yield Remove(folder, self.keeps)
            mine = [commit for commit in mine if _folder(commit) in there]
        whole = [commit for commit in mine if commit.sequence not in bad]
        sequence = fence.sequence
        if 0 <= self.damaged < len(whole):
            for number, commit in enumerate(reversed(whole)):
                if number <= self.damaged:
                    found = Bad(
                        sequence=sequence + 1, fingerprint="f", generation=fence.generation, time=_TIME,
                        nonce=f"{self.name}-bad-{commit.sequence}", of=commit.sequence, reason="a bit",
                    )  # fmt: skip
                    sequence = (yield from protocol.appending(found)).sequence
                    bad.add(commit.sequence)
            whole = whole[: -self.damaged - 1]
        parent = whole[-1] if whole else None
        if parent and self.keeps:
            yield Load(_folder(parent))
        for number in range(self.commits):
            step = parent.step + 1 if parent else 1
            wanted = Commit(
                sequence=sequence + 1, fingerprint="f", generation=fence.generation, step=step, samples=step, tokens=step,
                final=False, data=f"checkpoints/data/{step:08d}-{fence.generation}-{self.name}", manifest_sha256="", history="", time=_TIME, nonce=f"{self.name}-{number}",
                parent=parent.sequence if parent else 0,
            )  # fmt: skip
            if self.keeps:
                yield Put(_folder(wanted))
            parent = yield from protocol.appending(wanted)
            sequence = parent.sequence
            yield Believed(wanted.nonce, parent)
            mine.append(parent)
            going = (yield from collection.superseded(parent, mine, bad, self.keeps, 0)) if self.keeps else []
            for commit in going:
                yield Remove(_folder(commit), self.keeps)
                mine.remove(commit)


def _folder(commit: Commit) -> str:
    return commit.data.rsplit("/", 1)[-1]


class Log:
    """The slots, and what must hold for every log, whoever writes it: looked at whenever a record comes."""

    def __init__(self) -> None:
        self.slots: dict[int, Record] = {}
        self._nonces: frozenset[str] = frozenset()
        self._generation, self._owner = 0, ""
        self._newest: tuple[Commit, ...] = ()
        """Commits that were not found damaged."""
        self.payloads: frozenset[str] = frozenset()
        self._overtaken: frozenset[str] = frozenset()
        """Those who were told that another's record is where theirs would be."""

    def copy(self) -> Log:
        log = copy.copy(self)
        log.slots = dict(self.slots)
        return log

    def create(self, record: Record) -> bool:
        """Take a slot; False where it is taken. Raises Unsafe when the record must not be there."""
        if record.sequence in self.slots:
            return False
        _must(record.sequence == len(self.slots) + 1, f"{record.nonce} leaves a gap")
        _must(record.nonce not in self._nonces, f"{record.nonce} was written twice")
        owner = record.nonce.partition("-")[0]
        if isinstance(record, Fence):
            _must(record.generation > self._generation, f"the fence {record.nonce} is not above what it met")
            self._generation, self._owner = record.generation, owner
            self._overtaken -= {owner}
        elif (record.generation, owner) != (self._generation, self._owner):
            raise Unsafe(f"{record.nonce} comes behind the fence of {self._owner}")
        elif isinstance(record, Bad):
            self._newest = tuple(commit for commit in self._newest if commit.sequence != record.of)
        else:
            parent = self._newest[-1].sequence if self._newest else 0
            _must(record.parent == parent, f"{record.nonce} does not go on from the newest")
            _must(not self.payloads or _folder(record) in self.payloads, f"{record.nonce} has lost its payload")
            self._newest += (record,)
        self.slots[record.sequence] = record
        self._nonces |= {record.nonce}
        return True

    def read(self, sequence: int, reader: str) -> Record | None:
        """What a slot holds."""
        found = self.slots.get(sequence)
        if found and found.nonce.partition("-")[0] != reader:
            self._overtaken |= {reader}
        return found

    def load(self, folder: str, reader: str) -> None:
        """Raises Unsafe when the newest start goes on from what is not there; an older one gives up at its next record."""
        _must(folder in self.payloads or reader != self._owner, f"{folder} is loaded and was removed")

    def remove(self, folder: str, keeps: int, remover: str) -> None:
        """Remove a payload. Raises Unsafe where somebody may go on from it, or it is not the remover's business."""
        _must(remover not in self._overtaken, f"{remover} removes {folder} and knows that a newer start is there")
        stays = self._newest[-keeps:] if remover == self._owner else self._newest[-1:]
        _must(folder not in map(_folder, stays), f"{remover} removes {folder}, which a start may go on from")
        self.payloads -= {folder}


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise Unsafe(what)


@dataclass(frozen=True)
class Asked:
    """A writer that waits for an answer; without an operation, one that has ended."""

    writer: Writer
    operation: Any
    believed: tuple[Believed, ...] = ()
    """Since its last operation."""
    overtaken: bool = False


class Played:
    """Writers as functions of the answers that they got, since a generator cannot be copied. Each is played only once."""

    def __init__(self, protocol: ModuleType, collection: ModuleType) -> None:
        self.protocol, self.collection = protocol, collection
        self._known: dict[tuple[Writer, tuple[Any, ...]], Asked] = {}

    def after(self, writer: Writer, answers: tuple[Any, ...]) -> Asked:
        key = writer, answers
        if key not in self._known:
            program = writer.program(self.protocol, self.collection)
            asked = Asked(writer, next(program))
            for answer in answers:
                asked = advanced(asked, program, answer, self.protocol)
            self._known[key] = asked
        return self._known[key]


def advanced(asked: Asked, program: Generator[Any, Any, None], answer: Any, protocol: ModuleType) -> Asked:
    """The writer after an answer."""
    believed = []
    try:
        operation = program.send(answer)
        while isinstance(operation, Believed):
            believed.append(operation)
            operation = program.send(None)
    except StopIteration:
        return Asked(asked.writer, None, tuple(believed))
    except protocol.Overtaken:
        return Asked(asked.writer, None, tuple(believed), overtaken=True)
    return Asked(asked.writer, operation, tuple(believed))


class Run:
    """One schedule: writers at work on a store."""

    def __init__(self, writers: tuple[Writer, ...], protocol: ModuleType, collection: ModuleType) -> None:
        self.protocol = protocol
        self.log = Log()
        self.delayed: tuple[Record, ...] = ()
        self.programs = [writer.program(protocol, collection) for writer in writers]
        self.asked = [Asked(writer, next(program)) for writer, program in zip(writers, self.programs, strict=True)]
        self.overtaken = 0

    def choices(self, losses: bool) -> Iterator[tuple[str, int]]:
        """What may happen next."""
        for number, asked in enumerate(self.asked):
            if asked.operation is None:
                continue
            yield "answer", number
            if losses and isinstance(asked.operation, self.protocol.Create):
                yield "lose the answer", number
                yield "lose the request", number
        for number in range(len(self.delayed)):
            yield "land", number

    def take(self, choice: tuple[str, int]) -> None:
        """Let it happen."""
        what, number = choice
        if what == "land":
            record = self.delayed[number]
            self.delayed = self.delayed[:number] + self.delayed[number + 1 :]
            self.log.create(record)
            return
        self._told(number, self._answer(what, self.asked[number].operation, self.asked[number].writer.name))

    def _answer(self, what: str, operation: Any, asker: str) -> Any:
        log = self.log
        match operation:
            case List():
                return tuple(log.slots[n] for n in sorted(log.slots))
            case Folders():
                return log.payloads
            case Put(folder):
                log.payloads |= {folder}
                return None
            case Load(folder):
                return log.load(folder, asker)
            case Remove(folder, keeps):
                return log.remove(folder, keeps, asker)
        if isinstance(operation, self.protocol.Read):
            return log.read(operation.sequence, asker) or self.protocol.Found.NOTHING
        if what == "lose the request":
            self.delayed += (operation.record,)
            return False
        return self.log.create(operation.record) and what == "answer"

    def _told(self, number: int, answer: Any) -> None:
        self.asked[number] = self._next(number, answer)
        for believed in self.asked[number].believed:
            found = self.log.slots.get(believed.record.sequence)
            _must(bool(found) and found.nonce == believed.nonce, f"{believed.nonce} is not in the log")
        if self.asked[number].overtaken:
            own = self.asked[number].writer.name + "-"
            others = [r for r in self.log.slots.values() if isinstance(r, Fence) and not r.nonce.startswith(own)]
            _must(bool(others), f"{own} gave up before its own records")
            self.overtaken += 1

    def _next(self, number: int, answer: Any) -> Asked:
        return advanced(self.asked[number], self.programs[number], answer, self.protocol)


class Branch(Run):
    """A schedule of which there may be copies."""

    def __init__(self, writers: tuple[Writer, ...], played: Played) -> None:
        self._played, self._answers = played, [()] * len(writers)
        super().__init__(writers, played.protocol, played.collection)

    def copy(self) -> Branch:
        other = copy.copy(self)
        other.log, other.asked, other._answers = self.log.copy(), list(self.asked), list(self._answers)
        return other

    def state(self) -> Any:
        return tuple(self._answers), frozenset(self.delayed), len(self.log.slots), self.log.payloads

    def _next(self, number: int, answer: Any) -> Asked:
        self._answers[number] = (*self._answers[number], answer)
        return self._played.after(self.asked[number].writer, self._answers[number])


def explored(
    writers: tuple[Writer, ...], losses: int, protocol: ModuleType = log_protocol, collection: ModuleType = collection
) -> int:
    """Take every way through all interleavings with at most so many lost answers; how many different states there are."""
    seen: set[Any] = set()
    pending = [(Branch(writers, Played(protocol, collection)), losses)]
    while pending:
        branch, left = pending.pop()
        for choice in branch.choices(losses=left > 0):
            other = branch.copy()
            other.take(choice)
            lost = left - choice[0].startswith("lose")
            state = (other.state(), tuple(other.log.slots.values()), lost)
            if state not in seen:
                seen.add(state)
                pending.append((other, lost))
    return len(seen)


def at_random(seed: int) -> Run:
    """A random schedule: two to six starts, some of which crash. In half of them there are payloads, of which one more is
    kept than may be found damaged in all."""
    rng = random.Random(seed)
    count = rng.randint(2, 6)
    damaged = [rng.choice((-1, -1, -1, 0, 1)) for _ in range(count)]
    keeps = rng.choice((0, 1 + sum(each + 1 for each in damaged)))
    writers = tuple(Writer("ABCDEFGH"[n], rng.randint(0, 5), damaged[n], keeps) for n in range(count))
    run = Run(writers, log_protocol, collection)
    # Starts come one after the other, mostly: who was not started yet is not asked.
    started, losses = 1, rng.random() < 0.7
    while True:
        choices = [c for c in run.choices(losses) if c[0] == "land" or c[1] < started]
        if started < count and (not choices or rng.random() < 0.1):
            started += 1
            continue
        if not choices:
            return run
        choice = rng.choice(choices)
        if choice[0].startswith("lose") and rng.random() < 0.5:
            continue
        if choice[0] != "land" and rng.random() < 0.01:
            run.asked[choice[1]] = Asked(run.asked[choice[1]].writer, None)  # it crashed
            continue
        run.take(choice)
