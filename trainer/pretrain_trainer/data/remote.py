"""One ranged read of a remote object, asked once: its bytes and the object's size. Whoever calls repeats it."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from pretrain_api.storage import Storage

_CONTENT_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")


@dataclass(frozen=True)
class Part:
    """Bytes of an object."""

    content: bytes
    size: int | None = None
    """Bytes of the whole object, where the store says so."""


class RangedReads:
    """Reads parts of the objects of a storage, from its file system's own event loop."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage.asking_once()

    def uri(self, path: str) -> str:
        return self._storage.uri(path)

    async def read(self, path: str, start: int | None = None, end: int | None = None) -> Part:
        """Bytes start to end, or the whole object. Raises what the file system raises."""
        return await part(self._storage.fs, self._storage.path(path), start, end)


async def part(fs: Any, path: str, start: int | None = None, end: int | None = None) -> Part:
    """The same of an fsspec file system and a path as it takes it."""
    if hasattr(fs, "_call_s3"):
        bucket, key, _ = fs.split_path(path)
        # cat_file would do, but does not tell how large the object is.
        extra = {} if start is None else {"Range": f"bytes={start}-{(end or 0) - 1}"}
        answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, **extra)
        async with answer["Body"] as body:
            content = await body.read()
        told = _CONTENT_RANGE.match(answer.get("ContentRange", ""))
        return Part(content, int(told[1]) if told else None)
    if getattr(fs, "async_impl", False):
        return Part(bytes(await fs._cat_file(path, start=start, end=end)))
    return Part(bytes(await asyncio.to_thread(fs.cat_file, path, start=start, end=end)))
