"""What an audit found: differences, each with the place that it is about as far as it is known."""

from dataclasses import asdict, dataclass, field
from typing import Any

ABSENT = (FileNotFoundError, IsADirectoryError)
"""What reading a file that should be there raises where there is none; other faults are the store's."""


@dataclass(frozen=True)
class Place:
    """Where a sample stands and where it comes from."""

    step: int | None = None
    g: int | None = None
    """First position concerned."""
    source: str = ""
    shard: str = ""
    record: int | None = None
    """Number of the record in the shard."""
    slot: int | None = None
    """Number of the sample in the record."""

    def __str__(self) -> str:
        parts = [
            f"step {self.step}" if self.step is not None else "",
            f"sample {self.g}" if self.g is not None else "",
            f"source {self.source}" if self.source else "",
            f"shard {self.shard}" if self.shard else "",
            f"record {self.record}" if self.record is not None else "",
            f"slot {self.slot}" if self.slot is not None else "",
        ]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class Difference:
    """Something that is not as the order, the log or the shards say."""

    what: str
    place: Place = field(default_factory=Place)

    def __str__(self) -> str:
        place = str(self.place)
        return f"{place}: {self.what}" if place else self.what

    def as_json(self) -> dict[str, Any]:
        return {"what": self.what, **{k: v for k, v in asdict(self.place).items() if v not in (None, "")}}
