"""How a rank's part of a batch is cut into micro-batches. Pure arithmetic, no torch."""

from collections.abc import Iterator

_CPU_MICRO_BATCH_POSITIONS = 2048
"""Tokens or patches of an automatic micro-batch on a CPU: enough to keep matrix products efficient, few enough for the caches."""


def micro_batches(slice_size: int, largest_slice: int, micro: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each micro-batch of a slice; equally many on every rank, so that collectives match.

    A rank with a smaller slice gets empty ones at the end.
    """
    for start in range(0, largest_slice, micro):
        yield min(start, slice_size), min(start + micro, slice_size)


def cpu_micro_batch(positions: int, largest_slice: int) -> int:
    """Samples of an automatic micro-batch on a CPU, each of which takes so many positions in the model: a function of the job alone, so that a restart finds it again."""
    return max(1, min(largest_slice, _CPU_MICRO_BATCH_POSITIONS // positions))
