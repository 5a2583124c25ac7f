"""What is worked out of an object that never changes is worked out once."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def once_per_object(function: Callable[[T], R]) -> Callable[[T], R]:
    """The function, which keeps what it gave for an object as long as that lives. Objects are told apart by identity: models
    with lists within have no hash, and to compare two takes as long as most of what is asked of them."""
    kept: dict[int, tuple[weakref.ref[T], R]] = {}

    @functools.wraps(function)
    def remembered(argument: T) -> R:
        key = id(argument)
        if (found := kept.get(key)) and found[0]() is argument:
            return found[1]
        result = function(argument)
        kept[key] = weakref.ref(argument, lambda _: kept.pop(key, None)), result
        return result

    return remembered
