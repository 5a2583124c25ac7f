"""Array files as bytes."""

import gc
import io
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from pretrain_trainer.data.npy import array_of

INDEX = np.array([(b"000000", 4, 512)], dtype=[("key", "S6"), ("samples", "<u4"), ("offset", "<u8")])


def written(array: npt.NDArray[np.void]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_an_array_comes_back_as_it_was_written() -> None:
    np.testing.assert_array_equal(array_of(written(INDEX)), INDEX)


def test_an_archive_of_several_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("rows.npy", written(INDEX))
    with pytest.raises(ValueError, match="no single array"):
        array_of(file.getvalue())


class Garbage:
    """Freed by the collector, whose call of `__del__` lets another thread run wherever it happens."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        for _ in range(30):
            pass


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change, and garbage is collected, as often as can be."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(10)
    yield
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_many_threads_read_arrays_at_once_however_deep_they_were_called() -> None:
    content = written(INDEX)

    def read(depth: int) -> npt.NDArray[np.void]:
        return read(depth - 1) if depth else array_of(content)

    def read_often(depth: int) -> int:
        for _ in range(300):
            Garbage()
            assert read(depth) == INDEX
        return depth

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read_often, range(8))) == list(range(8))
