"""Random numbers that follow from a seed and a sample's position in the order, and from nothing else."""

import numpy as np
import numpy.typing as npt

from pretrain_trainer.data.permutation import derive_keys
from pretrain_trainer.data.samples import Int64s


def uniform(seed: int, purpose: int, positions: Int64s, count: int) -> npt.NDArray[np.float64]:
    """`count` numbers in [0, 1) for each sample, [n, count]; other ones for each purpose."""
    keys = derive_keys(seed, purpose, positions[:, None], np.arange(count, dtype=np.int64)[None])
    drawn: npt.NDArray[np.float64] = (keys >> np.uint64(11)) * np.float64(2.0**-53)
    return drawn
