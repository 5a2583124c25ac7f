"""Reader of text files: a whole file is one document."""

from __future__ import annotations

from collections.abc import Iterator

from pretrain_trainer.documents.records import Bad, Record, decode, too_long
from pretrain_trainer.documents.streams import Readable, read_exactly


def read(stream: Readable, url: str, max_bytes: int) -> Iterator[Record | Bad]:
    """The one document of a text file."""
    data = read_exactly(stream, max_bytes + 1)
    if len(data) > max_bytes:
        yield too_long(url, max_bytes)
        return
    text = decode(data, url)
    yield text if isinstance(text, Bad) else Record(text, url)
