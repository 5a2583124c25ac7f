"""Walking through a tar, strictly: what the standard library passes over in silence is an error here.

`tarfile` ends quietly at a damaged header, at the first of several archives that were concatenated and where a file was
cut between two members; records behind it would be lost without a word. Headers are parsed by `tarfile` all the same:
pax, GNU's long names and sizes over 8 GiB are its business.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from typing import IO, Protocol, cast

from pretrain_api.errors import UserError
from pretrain_trainer.indexing.names import check_name, shown
from pretrain_trainer.indexing.pax import BadPax, PaxHeader

_CHUNK_BYTES = 4 << 20
# How tarfile tells the ends of an archive apart; its type stubs do not know of it.
_AtEnd: type[tarfile.HeaderError] = tarfile.EmptyHeaderError  # type: ignore[attr-defined]
_AtZeros: type[tarfile.HeaderError] = tarfile.EOFHeaderError  # type: ignore[attr-defined]
_Short: type[tarfile.HeaderError] = tarfile.TruncatedHeaderError  # type: ignore[attr-defined]
_Subsequent: type[tarfile.HeaderError] = tarfile.SubsequentHeaderError  # type: ignore[attr-defined]
_OTHERS = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"PAR1": "a Parquet file",
    b"Rar!": "a RAR archive",
}
_MARKUP = (b"<!doctype", b"<html", b"<?xml")


class Stream(Protocol):
    """Something to read bytes from; an empty answer is the end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Tape(Protocol):
    """What a tar is read from, forward."""

    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class Streamed:
    """A stream that is read once; it can be sought forward, by reading."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._position = stream, 0
        self.head = b""
        """The first block, to tell what it is where it is no tar."""

    def read(self, size: int = -1, /) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        parts, missing = list[bytes](), size
        while missing and (part := self._stream.read(min(missing, _CHUNK_BYTES) if size >= 0 else _CHUNK_BYTES)):
            parts.append(part)
            self._take(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self, part: bytes) -> None:
        if self._position < tarfile.BLOCKSIZE:
            self.head += part[: tarfile.BLOCKSIZE - len(self.head)]
        self._position += len(part)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence or offset < self._position:
            raise OSError("a stream is read forward only")
        while self._position < offset and self.read(min(offset - self._position, _CHUNK_BYTES)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position


class Hashed(Streamed):
    """A stream whose bytes are hashed as they are read."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._digest = hashlib.sha256()

    def _take(self, part: bytes) -> None:
        super()._take(part)
        self._digest.update(part)

    def sha256(self) -> str:
        """Of what was read so far, in hex."""
        return self._digest.hexdigest()


def members(tape: Tape, where: str) -> Iterator[tarfile.TarInfo]:
    """The regular files of a tar, in order; directories are passed over.

    When a member is given out, the tape stands at the first byte of its content; it may be read or left. A tape that can
    seek jumps over what is left. UserError, with `where` as its place, for what is no whole tar or could not be read by
    record: links, sparse files, names that lead out of it.
    """
    archive: _Strict | None = None
    try:
        archive = _Strict(fileobj=cast("IO[bytes]", tape), mode="r", encoding="utf-8", errors="surrogateescape")
        member = archive.firstmember
        while member is not None:
            if not member.isdir():
                _check(member, where)
                yield member
                if tape.tell() < member.offset_data + member.size and not _reaches(tape, member):
                    raise _ends_within(member, where)
            archive.members = []  # tarfile would keep them all
            member = archive.next()
    except _AtEnd as error:
        if tape.tell() == 0:
            raise UserError("not-a-tar", where, "the file is empty.", "Supply the whole tar.") from error
        raise _truncated(where, "it does not end with the blocks of zeros that close a tar") from error
    except (_Short, _Subsequent) as error:
        at_start = archive is None and tape.tell() <= tarfile.BLOCKSIZE
        raise (_unlike_tar(tape, where) if at_start else _truncated(where, "it ends within a header")) from error
    except BadPax as error:
        raise UserError(
            "tar-damaged",
            where,
            f"the pax header at byte {error.offset} cannot be read: {error.why}.",
            "Supply the tar again, or write it again.",
        ) from error
    except tarfile.HeaderError as error:
        if archive is None:
            raise _unlike_tar(tape, where) from error
        raise UserError(
            "tar-damaged",
            where,
            f"at byte {tape.tell() - tarfile.BLOCKSIZE} a header is expected and there is none ({error}).",
            "Supply the tar again, or write it again with a library that pads every member.",
        ) from error
    _check_end(tape, where)


def content(tape: Tape, member: tarfile.TarInfo, where: str) -> Iterator[bytes]:
    """The content of the member that `members` gave out last, in parts. UserError where the tar ends within it."""
    missing = member.size
    while missing:
        part = tape.read(min(missing, _CHUNK_BYTES))
        if not part:
            raise _ends_within(member, where)
        missing -= len(part)
        yield part


class _Strict(tarfile.TarFile):
    """A tar whose `next` tells why it ends: None for the blocks of zeros, else a HeaderError."""

    tarinfo = PaxHeader

    firstmember: tarfile.TarInfo | None
    """What the constructor has read."""
    members: list[tarfile.TarInfo]

    def next(self) -> tarfile.TarInfo | None:
        assert self.fileobj is not None
        self.fileobj.seek(self.offset)
        try:
            return self.tarinfo.fromtarfile(self)
        except _AtZeros:
            return None


def _reaches(tape: Tape, member: tarfile.TarInfo) -> bool:
    """Whether the content of a member that nobody read is all there."""
    if not member.size:
        return True
    tape.seek(member.offset_data + member.size - 1)
    return len(tape.read(1)) == 1


def _check(member: tarfile.TarInfo, where: str) -> None:
    check_name(member.name, where)
    if member.size < 0:
        raise UserError(
            "tar-damaged",
            where,
            f"the size of member {shown(member.name)} is {member.size} bytes by its header.",
            "Supply the tar again, or write it again.",
        )
    kinds = {
        tarfile.SYMTYPE: f"a symbolic link to {shown(member.linkname)}",
        tarfile.LNKTYPE: f"a hard link to {shown(member.linkname)}",
    }
    what = "a sparse file" if member.sparse is not None else kinds.get(member.type)
    if what is None and not member.isreg():
        what = "a device or a pipe"
    if what:
        raise UserError(
            "member-kind",
            where,
            f"member {shown(member.name)} is {what}, which has no content of its own to read.",
            "Write the tar again with the files themselves (tar --dereference --hard-dereference).",
        )


def _check_end(tape: Tape, where: str) -> None:
    """Behind the first block of zeros there must be nothing else."""
    begin = tape.tell()
    while chunk := tape.read(_CHUNK_BYTES):
        if chunk.strip(b"\0"):
            raise UserError(
                "tar-concatenated",
                where,
                f"more data follow the end of the archive at byte {begin}, as where tars were joined with cat.",
                "Index the tars one by one, or join them with tar --concatenate.",
            )


def _truncated(where: str, why: str) -> UserError:
    return UserError("tar-truncated", where, f"the tar is cut short: {why}.", "Supply the whole tar.")


def _ends_within(member: tarfile.TarInfo, where: str) -> UserError:
    return _truncated(where, f"it ends within member {shown(member.name)}, which has {member.size} bytes")


def _unlike_tar(tape: Tape, where: str) -> UserError:
    """The error for a file that does not begin like a tar."""
    if isinstance(tape, Streamed):
        head = tape.head
    else:
        tape.seek(0)
        head = tape.read(tarfile.BLOCKSIZE)
    what = next((name for start, name in _OTHERS.items() if head.startswith(start)), "")
    if not what and head.lstrip().lower().startswith(_MARKUP):
        what = "a web page, such as a server's error message"
    return UserError(
        "not-a-tar",
        where,
        f"the file is no tar; it is {what}." if what else "the file is no tar.",
        "Write the address of a plain tar (records of compressed ones cannot be read one by one).",
    )
