"""Headers of pax, strictly: names and sizes that a tar states in records of their own, before the header of a file.

`tarfile` ends quietly at the first record that it cannot parse; the file would go by another name, or another size.
"""

from __future__ import annotations

import re
import tarfile
from typing import IO, Any

_RECORD = re.compile(rb"(\d{1,19}) [^=]+=")


class BadPax(Exception):
    """A pax header that cannot be read."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(offset, why)
        self.offset, self.why = offset, why
        """First byte of the header in the tar, and what is wrong."""


class PaxHeader(tarfile.TarInfo):
    """A header before which every record of pax was read. Raises BadPax where that cannot be."""

    __slots__ = ()

    def _proc_pax(self, archive: Any) -> Any:
        tape = archive.fileobj
        blocks = tape.read(-(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        if len(blocks) < self.size:  # which tarfile tells in some versions and takes for damage in others
            # An error of tarfile's own, which its type stubs do not know of.
            raise tarfile.TruncatedHeaderError("truncated header")  # type: ignore[attr-defined]
        if why := fault(blocks[: self.size]):
            raise BadPax(self.offset, why)
        archive.fileobj = _Replayed(blocks, tape)
        try:
            return super()._proc_pax(archive)  # type: ignore[misc] # tarfile's own, to which it hands headers of this kind
        except ValueError as error:  # of the numbers of sparse files, and the name of a character set
            raise BadPax(self.offset, str(error)) from error
        finally:
            archive.fileobj = tape


class _Replayed:
    """A tape whose last reading is given out once more."""

    def __init__(self, content: bytes, tape: IO[bytes]) -> None:
        self._content, self._tape = content, tape

    def read(self, size: int = -1, /) -> bytes:
        content, self._content = self._content, b""
        return content or self._tape.read(size)

    def tell(self) -> int:
        return self._tape.tell()


def fault(records: bytes) -> str:
    """What is wrong with the records of a header, "LENGTH KEYWORD=VALUE\\n" each (POSIX.1-2008, pax, "pax Extended Header");
    empty where nothing is."""
    begin = 0
    while begin < len(records):
        match = _RECORD.match(records, begin)
        end = begin + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(records) or records[end - 1 : end] != b"\n":
            return f"there is no record at byte {begin} of its {len(records)}"
        begin = end
    return ""
