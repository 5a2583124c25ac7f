"""Digests of what was read: sums over samples, so that they do not depend on how a batch was divided over ranks.

A sample at position g counts with XXH3-64 (seed g) of what training got of it: tokens, document ids and validity, or the
bytes of an image and of its caption; a part of a batch has the sum of its samples modulo 2^64. Defined in docs/reference/data-order.md.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from pretrain_api.ledger import BLOCKS
from pretrain_trainer.data.samples import AnySamples

UInt64s = npt.NDArray[np.uint64]


def sample_digests(samples: AnySamples, g: npt.NDArray[np.int64]) -> UInt64s:
    """The digest of each sample; `g` [samples] are their positions. 0 for stand-ins."""
    hashed = np.zeros(len(g), dtype=np.uint64)
    for row, seed in enumerate(g.tolist()):
        first, *others = samples.content(row)
        digest = xxhash.xxh3_64(first, seed)
        for part in others:
            digest.update(part)
        hashed[row] = digest.intdigest()
    hashed[samples.stand_ins] = 0
    return hashed


def block_bounds(batch_size: int) -> npt.NDArray[np.int64]:
    """Where the parts of a batch begin, and where the last one ends: int64 [BLOCKS + 1]."""
    return np.arange(BLOCKS + 1, dtype=np.int64) * batch_size // BLOCKS


def block_sums(digests: UInt64s, places: npt.NDArray[np.int64], batch_size: int) -> UInt64s:
    """The digests of the parts, uint64 [BLOCKS], from those samples of a batch that have these places in it."""
    sums = np.zeros(BLOCKS, dtype=np.uint64)
    block = np.searchsorted(block_bounds(batch_size), places, side="right") - 1
    np.add.at(sums, block, digests)
    return sums


def halves(sums: UInt64s) -> list[float]:
    """The sums as float64 that stay exact when up to 2^20 ranks add theirs."""
    return [*(sums & np.uint64(0xFFFFFFFF)).astype(float), *(sums >> np.uint64(32)).astype(float)]


def joined(values: Sequence[float]) -> tuple[int, ...]:
    """The sums modulo 2^64 from added `halves`."""
    low, high = values[: len(values) // 2], values[len(values) // 2 :]
    return tuple((int(a) + (int(b) << 32)) % (1 << 64) for a, b in zip(low, high, strict=True))
