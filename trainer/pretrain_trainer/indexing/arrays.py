"""What an index needs to know of a NumPy array file: type, shape and greatest value. Pickled objects are never loaded."""

from __future__ import annotations

import io

import numpy as np

from pretrain_api.errors import UserError
from pretrain_api.samples import ArrayFormat
from pretrain_trainer.data.npy import UNREADABLE

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def describe(content: bytes, where: str) -> ArrayFormat:
    """The array of an `.npy` file. UserError, with `where` as its place, for what is none or holds Python objects."""
    file = io.BytesIO(content)
    try:
        read_header = _HEADERS[np.lib.format.read_magic(file)]
        shape, is_fortran, dtype = read_header(file)
    except KeyError as error:
        raise _broken(where, f"its format version {error} is unknown") from error
    except UNREADABLE as error:
        raise _broken(where, (str(error) or type(error).__name__).splitlines()[0].rstrip(".")) from error
    if dtype.hasobject:
        raise UserError(
            "npy-objects",
            where,
            "the array holds Python objects; reading them would run code of the file.",
            "Save it with a plain type, such as array.astype(numpy.uint16).",
        )
    values = int(np.prod(shape, dtype=np.int64))
    data = len(content) - file.tell()
    if data != values * dtype.itemsize:
        raise _broken(where, f"shape {shape} of {dtype} takes {values * dtype.itemsize} bytes, and there are {data}")
    if is_fortran and len(shape) > 1:
        raise UserError(
            "npy-order", where, "the array is in Fortran's order.", "Save it with numpy.ascontiguousarray(array)."
        )
    largest = 0
    if dtype.kind == "u" and values:
        largest = int(np.frombuffer(content, dtype=dtype, offset=file.tell()).max())
    return ArrayFormat(
        dtype=dtype.str,
        dimensions=len(shape),
        width=shape[1] if len(shape) == 2 else 0,
        values=values,
        largest=largest,
    )


def _broken(where: str, why: str) -> UserError:
    return UserError("npy-broken", where, f"it is no whole NumPy array: {why}.", "Save it again with numpy.save.")
