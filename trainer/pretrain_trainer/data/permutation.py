"""Keyed permutations of [0, n) that need no memory: a Feistel network with cycle walking, over whole arrays.

A Feistel network (Feistel 1973; Luby and Rackoff 1988, doi:10.1137/0217022) permutes all numbers of b bits whatever its
round function is. Numbers that leave [0, n) are sent through again until they come back ("cycle walking", Black and
Rogaway 2002, doi:10.1007/3-540-45760-7_9); with the smallest b that holds n this takes fewer than two passes on average.
"""

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]

ROUNDS = 6
_GOLDEN = 0x9E3779B97F4A7C15


def mix(values: UInt64s) -> UInt64s:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195): uint64 to uint64, a bijection."""
    z = values + np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def derive_keys(seed: int, *parts: npt.ArrayLike) -> UInt64s:
    """One key per element from a seed and further integers, which are broadcast against each other."""
    key = mix(np.asarray([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64))
    for part in parts:
        key = mix(key ^ mix(np.atleast_1d(np.asarray(part)).astype(np.uint64)))
    return key


def _feistel(values: UInt64s, left_bits: UInt64s, right_bits: UInt64s, keys: UInt64s) -> UInt64s:
    """One pass; permutes the numbers of left_bits + right_bits bits. ROUNDS is even, so that the halves end in place."""
    one = np.uint64(1)
    left_mask, right_mask = (one << left_bits) - one, (one << right_bits) - one
    left, right = values >> right_bits, values & right_mask
    for round_number in range(ROUNDS):
        left, right = right, left ^ (mix(right ^ mix(keys + np.uint64(round_number))) & left_mask)
        left_mask, right_mask = right_mask, left_mask
    return (left << right_bits) | right


def permute(values: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], keys: UInt64s) -> npt.NDArray[np.int64]:
    """Where each value goes in the permutation of [0, size) that belongs to its key.

    All arguments are arrays of one shape; 0 <= values < sizes < 2**62. For equal size and key the map is a bijection.
    """
    result = values.astype(np.uint64)
    limits = sizes.astype(np.uint64)
    # Bits of size - 1. Doubles round numbers above 2**53 up at worst, which costs a bit and no correctness.
    bits = np.frexp((sizes - 1).astype(np.float64))[1].astype(np.uint64)
    left_bits = bits >> np.uint64(1)
    right_bits = bits - left_bits
    active = np.arange(result.size)
    while active.size:
        passed = _feistel(result[active], left_bits[active], right_bits[active], keys[active])
        result[active] = passed
        active = active[passed >= limits[active]]
    return result.astype(np.int64)
