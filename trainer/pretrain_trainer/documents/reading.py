"""Reading one file of any format: opened, checksummed, decompressed, cut into records."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretrain_api.errors import UserError
from pretrain_api.types.data import DocumentFields
from pretrain_trainer.documents import jsonl, locations, parquet, text, warc, web, webdataset
from pretrain_trainer.documents.faults import reading
from pretrain_trainer.documents.locations import Location
from pretrain_trainer.documents.records import Bad, Ignored, Record
from pretrain_trainer.documents.streams import Checksummed, compression, content, truncated

_FORMATS = {
    "text": (".txt", ".text", ".md", ".rst", ".tex", ".py"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".pq"),
    "warc": (".warc", ".wet"),
    "webdataset": (".tar",),
}


@dataclass(frozen=True)
class Rules:
    """How files are read: the format ("auto": by name), the fields, and the bound on a document in bytes."""

    format: str
    fields: DocumentFields
    max_bytes: int


def file_format(url: str, wanted: str, where: str) -> str:
    """The format of a file. UserError when its name does not tell; `where` is the field that would."""
    if wanted != "auto":
        return wanted
    name = compression(_name(url))[0].lower()
    for kind, endings in _FORMATS.items():
        if name.endswith(endings):
            return kind
    raise UserError(
        "unknown-format", where, f"The name of {url} does not tell its format.", f"Write one of: {', '.join(_FORMATS)}."
    )


def _name(url: str) -> str:
    """What ends with the file's suffixes. A question mark begins a query in a web address and is a letter elsewhere."""
    head = url.split("::", 1)[0]
    return web.file_name(head) if web.is_web(head) else head


class OpenFile:
    """A file being read. `sha256` and `size` hold once `records` is exhausted."""

    def __init__(self, location: Location, rules: Rules, where: str, scratch: Path) -> None:
        self._location, self._rules, self._where, self._scratch = location, rules, where, scratch
        self.sha256 = ""
        self.size = 0

    def records(self) -> Iterator[Record | Bad | Ignored]:
        """The records in order. UserError for a broken file or one that is not as long as it was when listed."""
        url, rules = self._location.url, self._rules
        kind = file_format(url, rules.format, self._where)
        codec = compression(_name(url))[1]
        with contextlib.ExitStack() as stack:
            raw = Checksummed(stack.enter_context(opened(url, self._where)))
            stream = content(raw, codec, url)
            if kind == "text":
                yield from text.read(stream, url, rules.max_bytes)
            elif kind == "jsonl":
                yield from jsonl.read(stream, url, rules.max_bytes, rules.fields)
            elif kind == "warc":
                yield from warc.read(stream, url, rules.max_bytes)
            elif kind == "webdataset":
                yield from webdataset.read(stream, url, rules.max_bytes, rules.fields)
            else:
                # Parquet begins at its end: a local copy serves any file system and any compression around it.
                copy = stack.enter_context(tempfile.NamedTemporaryFile(dir=self._scratch, suffix=".parquet"))
                shutil.copyfileobj(stream, copy, 1 << 20)
                copy.flush()
                yield from parquet.read(copy.name, url, rules.max_bytes, rules.fields)
            self.sha256, self.size = raw.sha256(), raw.bytes
        listed = self._location.size
        if self.size < listed:
            raise truncated(url, f"{self.size} of {listed} bytes could be read")
        if 0 <= listed < self.size:
            raise UserError(
                "file-changed",
                self._where,
                f"{url} has {self.size} bytes; its listing said {listed}.",
                "Leave files alone while they are read; download what a server states a wrong length of.",
            )


@contextlib.contextmanager
def opened(url: str, where: str) -> Iterator[Any]:
    """The raw file; `where` is the field that names it. An archive that turns out to be broken only now is told as one, and so is a member that is
    encrypted (zipfile: RuntimeError) or a link out of the archive (tarfile: KeyError)."""
    head, _, container = url.partition("::")
    try:
        with reading(where, url):
            fs, path = locations.file_system(url, where)
            if web.is_web(url):
                with web.opened(fs, path) as response:
                    yield web.file(response, url, where)
                return
            with fs.open(path, "rb") as file:
                yield file
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, KeyError) as error:
        if isinstance(error, RuntimeError | KeyError) and not container:
            raise
        raise locations.broken_archive(container or url, head.partition("://")[0], where, error) from error
