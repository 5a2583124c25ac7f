"""Every record of shards, read again and held against index and manifest. What is wrong is listed, shard by shard."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from pretrain_api.errors import UserError
from pretrain_api.samples import ArrayFormat, SampleShard, kind_of
from pretrain_api.shards import Manifest, Shard
from pretrain_trainer.data.indexes import CorruptShard, parsed
from pretrain_trainer.documents import locations
from pretrain_trainer.documents.faults import SourceUnavailable, patiently
from pretrain_trainer.documents.reading import opened
from pretrain_trainer.indexing.names import shown, split_name
from pretrain_trainer.indexing.tars import Hashed, content, members
from pretrain_trainer.inspecting import formats
from pretrain_trainer.inspecting.decoding import fault
from pretrain_trainer.inspecting.targets import SampleSource, Source, TokenSource

_MOST_DECODED_BYTES = 256 << 20
"""Larger members have their checksum compared and are not decoded."""
_MOST_FINDINGS = 1000
"""Of one shard."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: where, and what."""

    shard: str
    what: str
    record: str = ""
    """Number and key; empty where it is the shard itself."""
    member: str = ""

    def __str__(self) -> str:
        place = ", ".join(
            part for part in (self.shard, self.record and f"record {self.record}", shown(self.member)) if part
        )
        return f"{place}: {self.what}"


@dataclass
class Verified:
    """A shard that was read."""

    bytes: int
    records: int = 0
    findings: list[Finding] = field(default_factory=list)
    version: str = ""
    """Of tar and index as they were read; empty where nobody tells it."""


@dataclass(frozen=True)
class Task:
    """A shard for one process: its number among all of the source."""

    source: Source
    number: int
    bytes: int
    before: Verified | None = None
    """What was found when it was read before; that holds as long as it has the same version."""


def tasks(source: Source) -> Iterator[Task]:
    """The shards of a source."""
    shards: list[Any] = source.shards.manifest.shards if isinstance(source, SampleSource) else _shards(source.manifest)
    for number, shard in enumerate(shards):
        yield Task(source, number, shard.bytes)


def verify(task: Task) -> Verified:
    """Read a shard and list what is wrong with it. Never raises for what is wrong with the shard itself."""
    address = address_of(task)
    version = _version(task, address)
    if task.before and version and task.before.version == version:
        return task.before
    try:
        return replace(patiently(lambda: _verified(task, address)), version=version)
    except UserError as error:
        where = "" if error.where == address else f"{error.where}: "
        return Verified(task.bytes, 0, [Finding(address, f"{where}{error.what} {error.instead}")], version)
    except SourceUnavailable as error:
        return Verified(task.bytes, 0, [Finding(address, f"it cannot be read at the moment: {error.reason}")])


def _shards(manifest: Manifest) -> list[Shard]:
    return [*manifest.train.shards, *manifest.validation.shards]


def address_of(task: Task) -> str:
    """The address of the tar."""
    if isinstance(task.source, SampleSource):
        return task.source.shards.address(task.number)
    return task.source.storage.uri(f"{task.source.folder}/{_shards(task.source.manifest)[task.number].name}")


def _version(task: Task, address: str) -> str:
    """Of tar and index. Empty where one of them cannot be had: whoever reads it then tells why."""
    if isinstance(task.source, SampleSource):
        shards = task.source.shards
        index = shards.storage.uri(shards.manifest.shards[task.number].index)
    else:
        index = task.source.storage.uri(_index_path(task.source, _shards(task.source.manifest)[task.number]))
    try:
        told = [locations.version(file, file) for file in (address, index)]
    except (UserError, SourceUnavailable, OSError):
        return ""
    return "; ".join(told) if all(told) else ""


@dataclass(frozen=True)
class _Member:
    """A member as it lies in the tar."""

    offset: int
    length: int
    crc32c: int
    content: bytes | None
    """None: too large to be looked at."""


def _verified(task: Task, address: str) -> Verified:
    expected: SampleShard | Shard
    if isinstance(task.source, SampleSource):
        expected = task.source.shards.manifest.shards[task.number]
        rows, check = task.source.shards.index(task.number), _sample_faults
    else:
        expected = _shards(task.source.manifest)[task.number]
        rows, check = _token_index(task.source, expected), _token_faults
    found = Verified(expected.bytes)
    with opened(address, address) as file:
        tape, found_formats = Hashed(file), dict[str, ArrayFormat]()
        for number, (key, record) in enumerate(_records(tape, address)):
            found.records += 1
            for member, one in record.items():
                if one.content is not None:
                    formats.add(found_formats, member, one.content)
            name = f"{number} ({shown(key)})"
            if number >= len(rows):
                continue
            for member, what in check(task.source, rows[number], key, record):
                if len(found.findings) < _MOST_FINDINGS:
                    found.findings.append(Finding(address, what, name, member))
    for what, is_, should_be in (
        ("bytes", tape.tell(), expected.bytes),
        ("records", found.records, expected.records),
        ("SHA-256", tape.sha256(), expected.sha256),
    ):
        if is_ != should_be:
            found.findings.append(Finding(address, f"{what} {is_} where the manifest says {should_be}"))
    if isinstance(expected, SampleShard) and tape.sha256() == expected.sha256:  # of another tar they differ anyhow
        for member, what in formats.differences(found_formats, expected.members):
            found.findings.append(Finding(address, what, member=member))
    return found


def _records(tape: Hashed, address: str) -> Iterator[tuple[str, dict[str, _Member]]]:
    """The records of a tar with their key."""
    key, record = "", dict[str, _Member]()
    for file in members(tape, address):
        parts = split_name(file.name)
        if parts is None:
            continue
        if parts[0] != key and record:
            yield key, record
            record = {}
        key = parts[0]
        record[parts[1]] = _member(tape, file, address)
    if record:
        yield key, record


def _member(tape: Hashed, file: tarfile.TarInfo, address: str) -> _Member:
    checksum, kept = 0, list[bytes]()
    for part in content(tape, file, address):
        checksum = google_crc32c.extend(checksum, part)
        if file.size <= _MOST_DECODED_BYTES:
            kept.append(part)
    whole = b"".join(kept) if file.size <= _MOST_DECODED_BYTES else None
    return _Member(file.offset_data, file.size, checksum, whole)


def _sample_faults(source: Source, row: np.void, key: str, record: dict[str, _Member]) -> Iterator[tuple[str, str]]:
    """Member and fault of a record of other people's shards."""
    names = [name.removesuffix(".offset") for name in row.dtype.names or () if name.endswith(".offset")]
    if (indexed := bytes(row["key"])) != key.encode():
        yield "", f"the index has record {indexed.decode(errors='replace')!r} in its place"
        return
    for name in sorted({*record, *(n for n in names if row[f"{n}.offset"])}):
        if name not in record or name not in names or not row[f"{name}.offset"]:
            yield name, "the index has it and the tar does not" if name not in record else "the index does not have it"
            continue
        yield from ((name, what) for what in _differences(record[name], row, f"{name}."))
        if (whole := record[name].content) is not None and (what := fault(name, whole)):
            yield name, what


def _differences(member: _Member, row: np.void, prefix: str) -> Iterator[str]:
    if (member.offset, member.length) != (int(row[f"{prefix}offset"]), int(row[f"{prefix}length"])):
        yield "it does not lie where the index says"
    elif member.crc32c != int(row[f"{prefix}crc32c"]):
        yield f"crc32c is {member.crc32c:08x} where the index says {int(row[f'{prefix}crc32c']):08x}"


def _index_path(source: TokenSource, shard: Shard) -> str:
    return f"{source.folder}/{PurePosixPath(shard.name).with_suffix('.idx')}"


def _token_index(source: TokenSource, shard: Shard) -> npt.NDArray[np.void]:
    path = _index_path(source, shard)
    uri, again = source.storage.uri(path), "Let Encode write it again: remove its record in stages/encode."
    try:
        return parsed(source.storage.read_bytes(path), shard, uri)
    except FileNotFoundError as error:
        raise UserError("index-broken", uri, "the index is missing.", again) from error
    except CorruptShard as error:
        raise UserError("index-broken", uri, f"{error}.", again) from error


def _token_faults(source: Source, row: np.void, key: str, record: dict[str, _Member]) -> Iterator[tuple[str, str]]:
    """Member and fault of a record of token shards."""
    assert isinstance(source, TokenSource)
    manifest, arrays = source.manifest, dict[str, npt.NDArray[Any]]()
    for name in ("documents", "tokens"):
        member = record.get(f"{name}.npy")
        if member is None or member.content is None:
            yield f"{name}.npy", "it is missing"
            return
        yield from ((f"{name}.npy", what) for what in _differences(member, row, f"{name}_"))
        if what := fault("npy", member.content):
            yield f"{name}.npy", what
            return
        arrays[name] = np.load(io.BytesIO(member.content), allow_pickle=False)
    tokens, documents = arrays["tokens"], arrays["documents"]
    shape = (int(row["samples"]), manifest.sequence_length + 1)
    if tokens.shape != shape or tokens.dtype.name != manifest.dtype:
        yield "tokens.npy", f"it is {tokens.dtype.name} {tokens.shape} where {manifest.dtype} {shape} should be"
        return
    flat, valid = tokens.reshape(-1), int(row["tokens"])
    if tokens.size and int(tokens.max()) >= manifest.vocab_size:
        yield "tokens.npy", f"it has the token {int(tokens.max())}; the vocabulary ends at {manifest.vocab_size - 1}"
    if not (flat[valid:] == manifest.padding).all():
        yield "tokens.npy", f"there is more than padding behind its {valid} tokens"
    if documents.ndim != 1 or (np.diff(documents.astype(np.int64)) <= 0).any() or (documents >= tokens.size).any():
        yield "documents.npy", "its offsets do not rise within the record"


def missing_members(source: SampleSource) -> Iterator[str]:
    """Which members some records lack, a sentence each: no fault, and worth knowing."""
    manifest = source.shards.manifest
    for name, member in manifest.members.items():
        if member.records == manifest.records:
            continue
        first = _first_without(source, name)
        yield f"{shown(name)} ({kind_of(name)}) is missing in {manifest.records - member.records} of {manifest.records} records: {first}"


def _first_without(source: SampleSource, name: str) -> str:
    for number in range(len(source.shards.manifest.shards)):
        rows = source.shards.index(number)
        column = f"{name}.offset"
        lacking = rows if column not in (rows.dtype.names or ()) else rows[rows[column] == 0]
        if len(lacking):
            return f"{source.shards.address(number)}, record {shown(bytes(lacking[0]['key']).decode(errors='replace'))}"
    return ""
