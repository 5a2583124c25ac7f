"""NumPy array files as bytes. Pickled objects are never loaded."""

import io
import threading
import tokenize
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

UNREADABLE = (
    ValueError, EOFError, OSError, TypeError, SyntaxError, tokenize.TokenError, OverflowError, MemoryError, RecursionError,
    zipfile.BadZipFile,
)  # fmt: skip
"""What NumPy raises for a header that is damaged, depending on where: it is parsed as Python, by `tokenize` and `ast`; what
begins like a zip archive is taken for one of several arrays."""

_PARSING = threading.Lock()
"""Python before 3.12 counts the depth of what `ast` parses for all threads together: two at once can end in a SystemError
(python/cpython#106905)."""


def array_of(content: bytes) -> npt.NDArray[Any]:
    """The array in an `.npy` file. ValueError, with the reason, for anything else. Any threads may call it at once."""
    try:
        with _PARSING:
            array = np.load(io.BytesIO(content), allow_pickle=False)
    except UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if not isinstance(array, np.ndarray):  # an archive of several, by its first bytes
        raise ValueError("it is no single array")
    return array
