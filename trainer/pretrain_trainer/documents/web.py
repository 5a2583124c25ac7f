"""Reading a file of a web server in one request, from its first byte to its last, as it lies on the server.

fsspec's own reader trusts the length that an earlier answer stated and cuts the file there.
"""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa

from pretrain_api.errors import UserError
from pretrain_trainer.documents.faults import SourceUnavailable
from pretrain_trainer.documents.streams import Checksummed, Decompressed, Readable, compression, read_exactly

_ENCODINGS = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd", "br": "brotli"}
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_HEAD_BYTES = 1 << 16


def is_web(url: str) -> bool:
    """Whether the URL itself, not the archive around it, is a web address."""
    return url.startswith(("http://", "https://"))


def file_name(url: str) -> str:
    """The part of a web address that ends with the file's suffixes: a question mark begins the query."""
    return url.partition("?")[0]


def opened(fs: Any, path: str) -> Any:
    """The open response. Its encoding is left to `file`: aiohttp would drop all gzip members but the first."""
    return fs.open(path, "rb", block_size=0, headers={"Accept-Encoding": "identity"}, auto_decompress=False)


def file(response: Any, url: str, where: str) -> Readable:
    """The file without the encoding that it travelled in.

    Servers also call a `.gz` file's own compression the encoding of the answer; then the bytes are left as they are.
    """
    headers = response.r.headers
    body = _Body(response, url, where, headers.get("Content-Length"))
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _ENCODINGS:
        raise UserError(
            "broken-compression",
            where,
            f"{url} is sent with the Content-Encoding {encoding!r}, which cannot be read.",
            f"Have the server send it plain or as one of: {', '.join(_ENCODINGS)}.",
        )
    codec = _ENCODINGS[encoding]
    head = read_exactly(body, _HEAD_BYTES)
    whole = _Joined(head, body)
    if not head or (compression(file_name(url))[1] == codec and not _holds(head, codec)):
        return whole
    return Decompressed(Checksummed(whole), codec, url)


def _holds(head: bytes, codec: str) -> bool:
    """Whether a file of this compression comes out when the head of a body is decompressed once."""
    try:
        return bool(pa.CompressedInputStream(pa.py_buffer(head), codec).read(len(_MAGIC[codec])) == _MAGIC[codec])
    except OSError:
        return False


class _Body:
    """The bytes of an answer; one that breaks off before its end is told with both lengths."""

    def __init__(self, response: Any, url: str, where: str, announced: str | None) -> None:
        self._response, self._url, self._where, self._announced = response, url, where, announced

    def read(self, size: int = -1, /) -> bytes:
        from aiohttp import ClientPayloadError

        try:
            return bytes(self._response.read(size))
        except ClientPayloadError as error:
            announced = f" of the {self._announced} bytes that the server announced" if self._announced else " bytes"
            # Of what came, a part may have been dropped with the connection before it was read.
            received = self._response.r.content.total_bytes
            reason = f"the answer breaks off after {received}{announced}"
            raise SourceUnavailable(self._where, self._url, reason, nobody_answers=False) from error


class _Joined:
    """A head that has been read already, and the rest."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def read(self, size: int = -1, /) -> bytes:
        return self._head.read(size) or self._rest.read(size)
