"""The lines that the committed steps left, held against the order: each position once, from the source that is due."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pretrain_api import layout
from pretrain_api.commits import Commit, WeightSegment
from pretrain_api.ledger import BLOCKS, DataOrder, StepRead
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.findings import ABSENT, Difference, Place
from pretrain_trainer.data.order import Mixture, MixtureSource, Segment, locate

_CHUNK_SAMPLES = 1 << 18


class Line(BaseModel):
    """A committed step; the line has other figures besides."""

    model_config = ConfigDict(frozen=True)

    step: Annotated[int, Field(strict=True, ge=1, lt=1 << 63)]
    read: StepRead
    skipped: Annotated[bool, Field(strict=True)]


def read_order(storage: Storage, fingerprint: str) -> DataOrder | Difference:
    """What the training says about its order."""
    path = layout.ledger_order(fingerprint)
    try:
        order = DataOrder.model_validate_json(storage.read_bytes(path))
    except ABSENT:
        return Difference(f"{path} is missing: without it nothing says which order the samples should have")
    except ValidationError as error:
        return Difference(f"{path} cannot be read: {error.errors()[0]['msg']}")
    if order.fingerprint != fingerprint:
        return Difference(f"{path} is about another training, {order.fingerprint}")
    return order


def mixture(order: DataOrder, segments: tuple[WeightSegment, ...]) -> Mixture:
    """The order as a function. Raises ValueError for one that cannot be."""
    return Mixture(
        tuple(
            MixtureSource(source.samples, weight, source.max_epochs, source.samples_per_record)
            for source, weight in zip(order.sources, segments[0].weights, strict=True)
        ),
        order.seed,
        tuple(Segment(segment.start, segment.weights) for segment in segments[1:]),
    )


def read_lines(storage: Storage, commits: Iterable[Commit]) -> Iterator[Line | Difference]:
    """The lines of all commits in their order. A file that is not the committed one is told of and read all the same."""
    for commit in commits:
        if not commit.history:
            continue
        try:
            content = storage.read_bytes(commit.history)
        except ABSENT:
            yield Difference(f"commit {commit.sequence}: its history {commit.history} is missing")
            continue
        if hashlib.sha256(content).hexdigest() != commit.history_sha256:
            yield Difference(f"commit {commit.sequence}: its history {commit.history} was edited")
        for number, text in enumerate(content.splitlines(), 1):
            try:
                yield Line.model_validate_json(text)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                reason = f"{where}: {first['msg']}" if where else first["msg"]
                yield Difference(f"{commit.history}, line {number} cannot be read: {reason}")


@dataclass
class Checked:
    """The steps as the order has them, and what was different in the lines."""

    lines: dict[int, Line]
    """By step, those that the order has."""
    differences: list[Difference]


def check_lines(lines: Iterable[Line | Difference], order: DataOrder, commits: list[Commit]) -> Checked:
    """Steps 1, 2, 3 ... up to the newest commit, each once, with the positions that are its own."""
    checked = Checked({}, [])
    size, last = order.global_batch_size, commits[-1].step
    due = 1
    for line in lines:
        if isinstance(line, Difference):
            checked.differences.append(line)
            continue
        place = Place(line.step)
        if line.step != due:
            missing = f"step {due} is" if line.step == due + 1 else f"steps {due} to {line.step - 1} are"
            what = f"{missing} missing before it" if line.step > due else f"it is there again; step {due} is due"
            checked.differences.append(Difference(what, place))
        due = line.step + 1
        wanted = ((line.step - 1) * size, line.step * size)
        if line.read.samples != wanted:
            what = f"it has samples {_range(line.read.samples)} where {_range(wanted)} are due"
            checked.differences.append(Difference(what, Place(line.step, wanted[0])))
        if len(line.read.digests) != BLOCKS:
            checked.differences.append(Difference(f"it has {len(line.read.digests)} digests, not {BLOCKS}", place))
        elif 1 <= line.step <= last:
            checked.lines.setdefault(line.step, line)
    if due != last + 1:
        checked.differences.append(Difference(f"the history ends with step {due - 1}, the newest commit with {last}"))
    for commit in commits:
        if commit.samples != commit.step * size or commit.tokens != commit.samples * order.sequence_length:
            what = (
                f"commit {commit.sequence} at step {commit.step} says {commit.samples} samples, {commit.tokens} tokens"
            )
            checked.differences.append(Difference(what))
    return checked


def check_sources(
    lines: dict[int, Line], order: DataOrder, mix: Mixture, segments: tuple[WeightSegment, ...]
) -> Iterator[Difference]:
    """What is different about sources: their share of each step, and that each sample comes once an epoch.

    Raises IndexError for steps behind the end of the mixture.
    """
    names, size = [source.name for source in order.sources], order.global_batch_size
    taken = np.zeros(len(names), dtype=np.int64)
    starts = [segment.start for segment in segments]
    last = max(lines, default=0)
    visits = [_Visits(source.samples, last * size) for source in order.sources]
    for first in range(1, last + 1, max(1, _CHUNK_SAMPLES // size)):
        steps = range(first, min(last + 1, first + max(1, _CHUNK_SAMPLES // size)))
        source, _, index = locate(mix, np.arange((first - 1) * size, (steps[-1]) * size))
        for number in range(len(names)):
            visits[number].add(index[source == number])
        for step, row in zip(steps, source.reshape(-1, size), strict=True):
            counts = np.bincount(row, minlength=len(names))
            if line := lines.get(step):
                due = {
                    name: (int(k), int(k + count)) for name, k, count in zip(names, taken, counts, strict=True) if count
                }
                yield from _line_differences(line, due, starts, size)
            taken += counts
    for name, of_source in zip(names, visits, strict=True):
        if not of_source.are_even():
            yield Difference(f"source {name}: the order does not visit each sample once an epoch")


class _Visits:
    """How often each sample of a source came. What the order says of a source's size costs no memory: a training reads
    a part of a big source, and an order that was tampered with may say anything."""

    def __init__(self, samples: int, most: int) -> None:
        """`most`: no more visits than these will be added."""
        self._samples, self._count = samples, 0
        self._of_each = np.zeros(samples, dtype=np.int64) if samples <= most else None
        self._indices: list[npt.NDArray[np.int64]] = []

    def add(self, indices: npt.NDArray[np.int64]) -> None:
        self._count += len(indices)
        if self._of_each is None:
            self._indices.append(indices)
        else:
            self._of_each += np.bincount(indices, minlength=self._samples)

    def are_even(self) -> bool:
        """Whether no sample came again before all others had come as often."""
        if self._of_each is None:
            return len(np.unique(np.concatenate(self._indices))) == self._count if self._indices else True
        fewest = self._count // self._samples
        return bool(self._of_each.min() >= fewest and self._of_each.max() <= -(-self._count // self._samples))


def _line_differences(
    line: Line, due: dict[str, tuple[int, int]], starts: list[int], size: int
) -> Iterator[Difference]:
    first = (line.step - 1) * size
    segment = int(np.searchsorted(starts, first, side="right")) - 1
    if line.read.segment != segment:
        yield Difference(f"it has weights number {line.read.segment} where {segment} hold", Place(line.step, first))
    if line.read.taken != due:
        name = next(n for n in {**due, **line.read.taken} if line.read.taken.get(n) != due.get(n))
        have, want = (_range(t[name]) if name in t else "none" for t in (line.read.taken, due))
        yield Difference(f"it has its samples {have} where {want} are due", Place(line.step, first, name))
    if any(g not in range(first, first + size) for g in line.read.stand_ins):
        yield Difference("it names stand-ins of other steps", Place(line.step, first))


def digests(line: Line) -> npt.NDArray[np.uint64]:
    """The line's digests, uint64 [BLOCKS]."""
    return np.array([int(digest, 16) for digest in line.read.digests], dtype=np.uint64)


def _range(pair: tuple[int, int]) -> str:
    return f"{pair[0]} to {pair[1] - 1}"
