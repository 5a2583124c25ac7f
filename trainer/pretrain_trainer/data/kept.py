"""Values that are made once and kept while there is room, for many threads. What they are is not known here."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar


class Sized(Protocol):
    """What is kept."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""


Value = TypeVar("Value", bound=Sized)


class Kept(Generic[Value]):
    """Values by number, those used last, of at most so many bytes; one value is kept however large it is.

    For any number of threads: the first that needs a value makes it, others that need it wait, those that need other values
    do not. A copy in another process begins empty.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._values: OrderedDict[int, Value] = OrderedDict()
        self._making: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._most,)

    def numbers(self) -> list[int]:
        """Of the values that are kept, the longest unused first."""
        with self._lock:
            return list(self._values)

    def get(self, number: int, make: Callable[[int], Value]) -> Value:
        """The value of that number. What `make` raises comes out, and the next to ask makes it anew."""
        with self._lock:
            if (found := self._values.get(number)) is not None:
                self._values.move_to_end(number)
                return found
            making = self._making.setdefault(number, threading.Lock())
        with making:
            with self._lock:
                if (found := self._values.get(number)) is not None:
                    return found
            made = make(number)
            with self._lock:
                self._values[number] = made
                room = self._most - sum(value.bytes for value in self._values.values())
                while room < 0 and len(self._values) > 1:
                    room += self._values.popitem(last=False)[1].bytes
            return made
