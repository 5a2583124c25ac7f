"""Images and captions as training takes them: encoded, so that many fit into memory, and decoded by threads when asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from pretrain_trainer.cores import usable_cores
from pretrain_trainer.data.images import BrokenImage, decoded

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")


@dataclass(frozen=True)
class ImageSamples:
    """Images and what was written of them."""

    images: list[bytes]
    """Files; empty for a stand-in."""
    captions: list[str]
    """Empty where none is read."""
    stand_ins: npt.NDArray[np.bool_]
    """[samples]; True where the record is damaged, or was found to hold no image when it was decoded."""
    broken: Callable[[int, str], None]
    """Told of a sample, by its number in what was read at once, whose image cannot be decoded, and why. What it raises
    comes out."""
    first: int = 0
    """Number of the first sample in what was read at once."""

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, rows: slice) -> ImageSamples:
        """A part of the samples; `stand_ins` is a view."""
        start = range(len(self))[rows].start
        return ImageSamples(
            self.images[rows], self.captions[rows], self.stand_ins[rows], self.broken, self.first + start
        )

    def content(self, row: int) -> Iterable[bytes]:
        """The image's file, a zero byte and the caption in UTF-8."""
        return self.images[row], b"\0", self.captions[row].encode()

    def decoded(self, use: Callable[[Image, int], T]) -> list[T | None]:
        """What `use` makes of each upright RGB image and its row, on as many threads as there are cores; None for
        stand-ins, which samples become here whose image is broken."""

        def one(row: int) -> T | None:
            if self.stand_ins[row]:
                return None
            try:
                image = decoded(self.images[row])
            except BrokenImage as error:
                self.broken(self.first + row, str(error))
                self.stand_ins[row] = True
                return None
            return use(image, row)

        return list(_threads().map(one, range(len(self))))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")
