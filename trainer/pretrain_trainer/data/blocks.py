"""A record in memory: decoded from the bytes that were read, held against the checksums of its index. No files here."""

from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from pretrain_trainer.data.indexes import Place

Bytes = npt.NDArray[np.uint8]
Tokens = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Block:
    """A record: whole sequences and where documents begin."""

    tokens: Tokens
    """[sequences, sequence_length + 1]"""
    boundaries: npt.NDArray[np.integer[Any]]
    """Sorted offsets into the flattened block at which a document begins, or the padding."""
    valid: int
    """Tokens that are not padding."""
    is_stand_in: bool = False
    """Whether it stands in for a damaged record: of the same shape, with nothing in it that counts."""

    @property
    def bytes(self) -> int:
        return self.tokens.nbytes + self.boundaries.nbytes


class Damage(ValueError):
    """What was read of a record is not what its index says."""


def check(content: Bytes, place: Place) -> None:
    """Raise Damage unless `content`, which begins at the record's first byte, has the record's checksums."""
    for name, offset, length, expected in _members(place):
        payload = content[offset - place.start : offset - place.start + length]
        checksum = google_crc32c.value(payload)
        if len(payload) != length:
            raise Damage(f"({name}): has {len(payload)} bytes where the index says {length}; the file was cut short")
        if checksum != expected:
            raise Damage(
                f"({name}): crc32c is {checksum:08x} where the index says {expected:08x}; "
                "the file is damaged or was overwritten"
            )


def _members(place: Place) -> tuple[tuple[str, int, int, int], ...]:
    return (
        ("documents", place.documents_offset, place.documents_length, place.documents_crc32c),
        ("tokens", place.tokens_offset, place.tokens_length, place.tokens_crc32c),
    )


def decoded(content: Bytes, place: Place, width: int, dtype: np.dtype[np.unsignedinteger[Any]]) -> Block:
    """The block in `content`, which begins at the record's first byte; its arrays are views. Raises Damage."""
    tokens = content[place.tokens_offset - place.start :][: place.tokens_length]
    documents = content[: place.documents_length]
    size = place.samples * width * dtype.itemsize
    header = _header_bytes(documents)
    if (
        len(tokens) != size + _header_bytes(tokens)
        or not header
        or (len(documents) - header) % 4
        or place.valid > place.samples * width
    ):
        raise Damage("(index): its row does not fit the members' sizes")
    boundaries = documents[header:].view(np.uint32)
    if place.valid < place.samples * width:
        boundaries = np.append(boundaries, np.uint32(place.valid))
    return Block(tokens[len(tokens) - size :].view(dtype).reshape(place.samples, width), boundaries, place.valid)


def _header_bytes(content: Bytes) -> int:
    """Of an `.npy` file of version 1; 0 where it is too short to have one."""
    return 10 + int(content[8]) + (int(content[9]) << 8) if len(content) >= 10 else 0


def stand_in(samples: int, width: int, dtype: np.dtype[np.unsignedinteger[Any]]) -> Block:
    """A block in the place of a damaged one."""
    nothing = np.broadcast_to(np.zeros(1, dtype), (samples, width))
    return Block(nothing, np.empty(0, np.uint32), 0, is_stand_in=True)
