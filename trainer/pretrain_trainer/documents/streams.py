"""Reading a file's bytes once, forward: checksum on the way in, decompression with a memory bound.

Decompression never gives more than was asked for, so a decompression bomb costs time, not memory.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import pyarrow as pa

from pretrain_api.errors import UserError

_COMPRESSIONS = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_CHUNK_BYTES = 1 << 20


class Readable(Protocol):
    """Something to read bytes from; an empty answer is the end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Checksummed:
    """A raw file whose bytes are counted and hashed as they are read."""

    closed = False

    def __init__(self, file: Any) -> None:
        self._file = file
        self._state = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        data: bytes = self._file.read(size)
        self._state.update(data)
        self.bytes += len(data)
        return data

    def close(self) -> None:
        """Asked for by Arrow when it is done. The file belongs to whoever opened it."""

    def sha256(self) -> str:
        """The checksum of the whole file; reads what has not been read."""
        while self.read(_CHUNK_BYTES):
            pass
        return self._state.hexdigest()


def compression(name: str) -> tuple[str, str]:
    """The name without a compression's suffix, and the compression: "gzip", "zstd" or "" for none."""
    for suffix, codec in _COMPRESSIONS.items():
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], codec
    return name, ""


class Decompressed:
    """The content of a gzip or zstd file, of one member or many."""

    def __init__(self, raw: Checksummed, codec: str, url: str) -> None:
        self._raw, self._codec, self._url = raw, codec, url
        self._stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec)

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes. UserError for a truncated file and for one that is not of this compression."""
        try:
            data: bytes = self._stream.read(_CHUNK_BYTES if size < 0 else size)
        except OSError as error:
            if not _is_arrows(error):
                raise
            if "Truncated" in str(error):
                raise truncated(self._url, f"the {self._codec} data end in the middle") from error
            raise UserError(
                "broken-compression",
                self._url,
                f"is not valid {self._codec}: {error}.",
                "Supply the file again, or correct its name if it is not compressed.",
            ) from error
        if not data and not self._raw.bytes:
            raise truncated(self._url, f"it is empty, which is not valid {self._codec}")
        return data


def _is_arrows(error: OSError) -> bool:
    """Whether decompression itself failed; an error of the raw file carries its own number or class."""
    return type(error) is OSError and error.errno is None


def truncated(url: str, detail: str) -> UserError:
    """The error for a file that ends too early."""
    return UserError("truncated-file", url, f"The file is truncated: {detail}.", "Supply the whole file.")


def content(raw: Checksummed, codec: str, url: str) -> Readable:
    """The decompressed content of a raw file."""
    return Decompressed(raw, codec, url) if codec else raw


def read_exactly(stream: Readable, size: int) -> bytes:
    """Up to `size` bytes, fewer only at the end."""
    pieces, missing = [], size
    while missing and (piece := stream.read(min(missing, _CHUNK_BYTES))):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
