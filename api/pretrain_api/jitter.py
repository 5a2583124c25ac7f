"""Pauses of random length, from a generator of their own.

A retry in a background thread must not change what a program draws from the generators that it has seeded.
"""

import random

_CHANCE = random.Random()


def between(least: float, most: float) -> float:
    """A number between the two, uniformly."""
    return _CHANCE.uniform(least, most)
