"""The index of one tar: where each member of each record lies, with its checksum, and what the tar holds in all."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

import google_crc32c
import numpy as np
import numpy.typing as npt

from pretrain_api.errors import UserError
from pretrain_api.nouns import counted
from pretrain_api.samples import ArrayFormat, Member, index_dtype, kind_of
from pretrain_trainer.indexing import arrays
from pretrain_trainer.indexing.names import shown, split_name
from pretrain_trainer.indexing.tars import Hashed, content, members

MOST_MEMBERS = 64
"""Different members of the records of one tar."""
_MOST_NAMES = 9_000
"""Characters that the index's names of columns may take in its header: NumPy reads headers of up to 10,000."""
MOST_ARRAY_BYTES = 64 << 20
"""An array is read and its checksum compared as a whole."""


@dataclass(frozen=True)
class Entry:
    """One member of a record."""

    offset: int
    length: int
    crc32c: int
    array: ArrayFormat | None = None


@dataclass(frozen=True)
class Record:
    """Neighbouring members of one key."""

    key: str
    members: dict[str, Entry] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Rows, where there is one array of unsigned integers with rows; else 1."""
        rows = [
            array.values // array.width
            for entry in self.members.values()
            if (array := entry.array) and array.dimensions == 2 and array.width and array.dtype[1:2] == "u"
        ]
        return rows[0] if len(rows) == 1 else 1


@dataclass(frozen=True)
class Indexed:
    """A tar that was read."""

    index: npt.NDArray[np.void]
    bytes: int
    sha256: str
    samples: int
    skipped: int
    members: dict[str, Member]


def index_tar(stream: IO[bytes], where: str) -> Indexed:
    """Read a tar and index it; `where` is its address. UserError for what the module tars refuses, for a name that
    stands in the tar twice, for arrays that cannot be read, and for more than MOST_MEMBERS kinds of member."""
    tape = Hashed(stream)
    records, names, skipped = list[Record](), set[str](), 0
    keys, found = set[str](), set[str]()
    for file in members(tape, where):
        if file.name in names:
            raise UserError(
                "member-twice",
                where,
                f"the name {file.name!r} stands in it twice.",
                "Write the tar again with other names.",
            )
        names.add(file.name)
        parts = split_name(file.name)
        if parts is None:
            skipped += 1
            continue
        key, member = parts
        if not records or records[-1].key != key:
            if key in keys:
                raise UserError(
                    "record-divided",
                    where,
                    f"the files of record {key!r} are not neighbours: {shown(file.name)} comes after those of other records.",
                    "Write the tar again sorted by name (tar --sort=name); webdataset would take them for two records.",
                )
            keys.add(key)
            records.append(Record(key))
        if member in records[-1].members:
            raise UserError(
                "member-twice",
                where,
                f"record {key!r} has member {shown(member)} twice, in letters of another case.",
                "Write the tar again with other names.",
            )
        records[-1].members[member] = _entry(tape, file, member, where)
        found.add(member)
        if len(found) > MOST_MEMBERS:
            raise _too_many(sorted(found), where, key)
    summary = _summary(records)
    rows = _rows(records, sorted(summary))
    if len(str(rows.dtype.descr)) > _MOST_NAMES:
        raise UserError(
            "too-many-members",
            where,
            f"the names of its {counted(len(summary), 'different member')} are too long for one index.",
            "Write the tar again with names like 000001.jpg and 000001.txt.",
        )
    return Indexed(
        rows,
        tape.tell(),
        tape.sha256(),
        sum(record.samples for record in records),
        skipped,
        summary,
    )


def _entry(tape: Hashed, file: tarfile.TarInfo, member: str, where: str) -> Entry:
    place = f"{where}, member {shown(file.name)}"
    checksum, kept = 0, list[bytes]()
    is_array = kind_of(member) == "array"
    if is_array and file.size > MOST_ARRAY_BYTES:
        raise UserError(
            "array-too-large",
            place,
            f"the array has {file.size:,} bytes; at most {MOST_ARRAY_BYTES:,} can be read at once.",
            "Divide it into records of 256 KiB to 1 MiB.",
        )
    for part in content(tape, file, where):
        checksum = google_crc32c.extend(checksum, part)
        if is_array:
            kept.append(part)
    return Entry(
        file.offset_data,
        file.size,
        checksum,
        arrays.describe(b"".join(kept), place) if is_array else None,
    )


def _summary(records: list[Record]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for record in records:
        for name, entry in record.members.items():
            this = Member(kind=kind_of(name), records=1, bytes=entry.length, array=entry.array)
            found[name] = found[name].joined(this) if name in found else this
    return dict(sorted(found.items()))


def _rows(records: list[Record], names: list[str]) -> npt.NDArray[np.void]:
    keys = [record.key.encode() for record in records]
    rows = np.zeros(len(records), dtype=index_dtype(max(map(len, keys), default=1), names))
    rows["key"] = keys
    rows["samples"] = [record.samples for record in records]
    for name in names:
        entries = [record.members.get(name) for record in records]
        for attribute in ("offset", "length", "crc32c"):
            rows[f"{name}.{attribute}"] = [getattr(entry, attribute) if entry else 0 for entry in entries]
        if kind_of(name) == "array":
            rows[f"{name}.values"] = [entry.array.values if entry and entry.array else 0 for entry in entries]
    return rows


def _too_many(found: Sequence[str], where: str, key: str) -> UserError:
    return UserError(
        "too-many-members",
        where,
        f"its records have more than {MOST_MEMBERS} different members ({', '.join(map(shown, found[:3]))} ...): all behind the first dot "
        f"of a file name is taken for the member, here of record {key!r}.",
        "Write the tar again with names like 000001.jpg and 000001.txt.",
    )
