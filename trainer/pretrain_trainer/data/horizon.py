"""What is known of the future: which records the samples to come lie in, and when each is used. Pure bookkeeping."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Key = tuple[int, int]
"""Source and record."""


class Horizon:
    """The announced part of the future. Positions count announced samples from the start."""

    def __init__(self) -> None:
        self.announced = self.passed = 0
        self._uses: OrderedDict[Key, tuple[int, int]] = OrderedDict()

    def announce(self, source: npt.NDArray[np.int64], record: npt.NDArray[np.int64]) -> list[Key]:
        """Add the samples that follow, by their sources and records; the records in the order of their first use."""
        code = (source << np.int64(48)) | record
        unique, first = np.unique(code, return_index=True)
        last = len(code) - 1 - np.unique(code[::-1], return_index=True)[1]
        keys = list[Key]()
        for i in np.argsort(first).tolist():
            key = (int(unique[i]) >> 48, int(unique[i]) & ((1 << 48) - 1))
            known = self._uses.get(key)
            begins = known[0] if known and known[1] >= self.passed else self.announced + int(first[i])
            self._uses[key] = (begins, self.announced + int(last[i]))
            keys.append(key)
        self.announced += len(code)
        return keys

    def pass_by(self, samples: int) -> None:
        """The next so many samples were used."""
        self.passed += samples
        gone = [key for key, (_, last) in self._uses.items() if last < self.passed]
        for key in gone:
            del self._uses[key]

    def next_use(self, key: Key) -> int | None:
        """The next position at which a record may be used: between its first and last use, now. None: not announced."""
        uses = self._uses.get(key)
        return None if uses is None else max(uses[0], self.passed)

    def last_use(self, key: Key) -> int:
        """Its last announced use, -1 without one."""
        return self._uses.get(key, (-1, -1))[1]


def evicted(
    kept: Iterable[tuple[Key, int]], bytes_too_many: int, horizon: Horizon, spare: frozenset[Key]
) -> Iterator[Key]:
    """Which blocks to drop, given those kept (key and bytes, the least recently used one first): first those with no
    use in sight, then those whose next use is farthest, and of these the ones that are done with last (Belady 1966,
    doi:10.1147/sj.52.0078). Those of `spare` stay."""
    candidates = [(key, size) for key, size in kept if key not in spare]

    def is_farther(item: tuple[Key, int]) -> tuple[bool, int, int]:
        use = horizon.next_use(item[0])
        return (use is not None, -(use or 0), -horizon.last_use(item[0]))

    for key, size in sorted(candidates, key=is_farther):
        if bytes_too_many <= 0:
            return
        bytes_too_many -= size
        yield key
