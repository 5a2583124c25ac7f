"""How writers share the commit log, as sequences of storage operations. Decides only: `commit_log` carries them out.

A slot is taken by creating its object exclusively; there is no check before a write. Every start of a training first puts
a fence into the next slot, with a generation above all that it met, and only then looks for the newest checkpoint. A writer
of an earlier start has to pass the fence to get at a free slot, and gives up there. That gives, for any number of writers,
whatever is delayed, repeated or lost on the way (tests/unit/trainer/training/test_log_safety.py explores it):

- generations never fall along the log, and nothing of an older one comes behind a fence;
- whoever has fenced knows every commit before the fence, so that each commit's parent is the one before it.

The idea of numbering owners so that storage can refuse an old one: fencing tokens, M. Kleppmann, "How to do distributed
locking", 2016; of a log whose slots are taken by conditional writes: Delta Lake (Armbrust et al., VLDB 2020, section 3.1).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeVar, cast

from pretrain_api.commits import Bad, Commit, Fence, Record
from pretrain_api.errors import PretrainError

AnyRecord = TypeVar("AnyRecord", Commit, Fence, Bad)


class Overtaken(PretrainError):
    """Another start of this training has fenced the log; this one must not write any more."""


class Found(Enum):
    """What a slot holds, where it is no record."""

    NOTHING = "nothing"
    DAMAGED = "damaged"
    """Records appear whole, so that its writer was done with it before."""


@dataclass(frozen=True)
class Create:
    """Create the record's slot unless it is taken. The answer says only that the request is over: whether it took the slot
    is read from it."""

    record: Record


@dataclass(frozen=True)
class Read:
    """Read a slot."""

    sequence: int


@dataclass(frozen=True)
class Fenced:
    """The log as a start of training finds it: nothing of an earlier start is added to it any more."""

    records: list[Record]
    generation: int
    """Of this start."""
    next_sequence: int
    is_whole: bool
    """Whether every slot before the fence could be read."""


Answer = Record | Found | bool
Operations = Generator[Create | Read, Answer, AnyRecord]
"""What to do, one after the other. To a Read, send what was found; to a Create, whether it is known to have taken the slot."""


def appending(record: AnyRecord) -> Operations[AnyRecord]:
    """Put a record of a start that has fenced the log at its sequence number, the one behind the start's last record.

    Returns the record as it stands in the log. Raises Overtaken where another's is: only a newer start's can be. Safe to
    repeat: a record with the same nonce that is there already is taken for this one.
    """
    while not (yield Create(record)):
        other = yield Read(record.sequence)
        if other is Found.NOTHING:  # the request was lost on its way
            continue
        if isinstance(other, Found | bool) or other.nonce != record.nonce:
            whose = "a damaged record" if isinstance(other, Found | bool) else f"a record of start {other.generation}"
            raise Overtaken(
                f"slot {record.sequence} of the commit log holds {whose}; this is start {record.generation}. Another start "
                "of the training has taken over, or two jobs use the same storage."
            )
        return cast("AnyRecord", other)
    return record


def fencing(
    known: Sequence[Record], last: int, fingerprint: str, nonce: str, time: datetime
) -> Generator[Create | Read, Answer, tuple[Fence, list[Record]]]:
    """Put a fence behind the last slot that is known to be taken and behind what was put there meanwhile, with a generation
    above every record's in its way.

    Returns the fence as it stands in the log and the records before it, the known ones first.
    """
    generation = max((record.generation for record in known), default=0) + 1
    fence = Fence(sequence=last + 1, fingerprint=fingerprint, generation=generation, nonce=nonce, time=time)
    before = list(known)
    while not (yield Create(fence)):
        other = yield Read(fence.sequence)
        if other is Found.NOTHING:
            continue
        generation = fence.generation
        if not isinstance(other, Found | bool):
            if other.nonce == fence.nonce:
                break
            before.append(other)
            generation = max(generation, other.generation + 1)
        fence = fence.model_copy(update={"sequence": fence.sequence + 1, "generation": generation})
    return fence, before
