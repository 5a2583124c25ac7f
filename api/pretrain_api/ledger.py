"""What a training read: the parts of the order that its commits do not hold, and the line of each step.

`checkpoints/history/<fingerprint>/order.json` and the key `read` of each line of a history file. With the shards they are
all that another program needs to check a run (docs/reference/data-order.md).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

BLOCKS = 8
"""Parts of a step's batch that have a digest each."""


_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Some = Annotated[int, Field(ge=1, lt=1 << 63)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class OrderedSource(_Record):
    """A source as the order sees it."""

    name: str
    folder: str
    """Where its manifest.json lies, relative to the storage; the shards lie there too, or where the manifest says."""
    manifest_sha256: str
    samples: _Count
    """Training samples in one epoch."""
    samples_per_record: _Some
    max_epochs: int | None


class DataOrder(_Record):
    """`order.json`: what decides the order beside the weights. Written at each start, with the same bytes."""

    version: Literal[1] = 1
    fingerprint: str
    seed: int
    global_batch_size: _Some
    sequence_length: _Count
    sources: tuple[OrderedSource, ...]


class StepRead(_Record):
    """What a step read: positions `samples[0]` to `samples[1]` - 1 of the order."""

    samples: tuple[_Count, _Count]
    segment: _Count
    """Number of the weights that held, from 0, in the commit's `segments`."""
    taken: dict[str, tuple[_Count, _Count]]
    """By source: which of its samples (k), first and one behind the last. Sources without a sample in the step are left out."""
    digests: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")], ...]
    """Of the `BLOCKS` parts of the batch, 16 hexadecimal digits each."""
    stand_ins: tuple[_Count, ...] = ()
    """Positions whose record was damaged: they were read as a stand-in and count in no loss and no digest."""
