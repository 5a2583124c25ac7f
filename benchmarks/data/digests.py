"""What the ledger's digests cost: tokens a second of one core, by processor time.

.venv/bin/python benchmarks/data/digests.py
"""

import statistics
import time

import numpy as np

from pretrain_trainer.data.digests import block_sums, sample_digests
from pretrain_trainer.data.samples import Samples

SHAPES = ((512, 512), (32, 2048), (64, 4096))
"""Samples of a batch, and tokens of each."""
ROUNDS = 30


def main() -> None:
    rng = np.random.default_rng(0)
    for count, length in SHAPES:
        shape = (count, length + 1)
        samples = Samples(
            rng.integers(0, 1 << 16, shape),
            np.zeros(shape, np.int32),
            np.ones(shape, np.bool_),
            np.zeros(count, np.bool_),
        )
        seconds = []
        for first in range(0, ROUNDS * count, count):
            began = time.process_time()
            block_sums(sample_digests(samples, np.arange(first, first + count)), np.arange(count), count)
            seconds.append(time.process_time() - began)
        rate = count * length / statistics.median(seconds)
        print(f"{count} x {length} tokens: {rate / 1e6:.0f} M tokens/s")


if __name__ == "__main__":
    main()
