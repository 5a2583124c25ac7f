"""What an audit asks of a source, whatever its samples are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pretrain_trainer.auditing.findings import Difference, Place
from pretrain_trainer.auditing.tars import Told

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Read:
    """A sample that was read again."""

    index: int
    """Its number in the training split."""
    content: bytes
    """What its digest is of (docs/reference/data-order.md)."""


class Source(Protocol):
    """A source whose samples can be read again."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes of all its shards, of which `read` tells."""

    def place(self, index: int) -> Place:
        """Where a sample lies."""

    def read(self, index: Int64s, told: Told) -> Iterator[Read | Difference]:
        """The samples of these rising numbers as far as they can be read, and what is wrong with the shards."""
