"""Whether manifest and indexes are those of the tars as they are: sizes and versions, and each header of each tar.

Contents are jumped over where that saves reading; `pretrain data verify` reads them. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.samples import SampleShard, index_dtype
from pretrain_api.storage import Storage
from pretrain_trainer.data.npy import array_of
from pretrain_trainer.documents.faults import patiently, reading
from pretrain_trainer.documents.reading import opened
from pretrain_trainer.indexing import work
from pretrain_trainer.indexing.names import shown, split_name
from pretrain_trainer.indexing.places import Places, Tar
from pretrain_trainer.indexing.tars import Tape, members
from pretrain_trainer.parallel import Stoppable, ordered_map
from pretrain_trainer.terminal import Bar


@dataclass(frozen=True)
class _Task:
    """A tar for one process, with what the manifest says of it."""

    tar: Tar
    shard: SampleShard | None
    folder: str
    endpoint_url: str


def differences(places: Places, endpoint_url: str, processes: int, stopping: Stoppable) -> list[str]:
    """What keeps the folder's manifest and indexes from being those of the tars, a sentence for each tar at most: the first
    difference. UserError where the folder's manifest is one of other shards."""
    storage = Storage(places.folder, endpoint_url)
    with reading(places.folder, places.folder):
        if not storage.exists(layout.MANIFEST):
            return [f"{storage.uri(layout.MANIFEST)} is not there"]
        known = work.known(storage, places)
    tasks = [_Task(tar, known.get(tar.name), places.folder, endpoint_url) for tar in places.tars]
    found = list[str]()
    with Bar("check", len(tasks), "tars") as bar:
        for difference in ordered_map(_difference, tasks, max(1, min(processes, len(tasks))), stopping):
            found += [difference] if difference else []
            bar.advance(1)
    return found


def _difference(task: _Task) -> str:
    tar, shard, storage = task.tar, task.shard, Storage(task.folder, task.endpoint_url)
    if shard is None:
        return f"{tar.url} is not in the manifest"
    if not work.is_as_indexed(shard, tar):
        return f"{tar.url} has changed since it was indexed"
    where = storage.uri(shard.index)
    try:
        rows = array_of(storage.read_bytes(shard.index))
    except FileNotFoundError:
        return f"{where} is not there"
    except (ValueError, IsADirectoryError) as error:
        return f"{where} cannot be read: {error}"
    if len(rows) != shard.records:
        return f"{where} has {len(rows)} records where the manifest says {shard.records}"
    if rows.dtype != index_dtype(rows.dtype["key"].itemsize if "key" in (rows.dtype.names or ()) else 0, shard.members):
        return f"{where} has other columns than the members that the manifest names"

    def compare() -> str:
        with opened(tar.url, tar.url) as file:
            return first_difference(file, rows, tar.url)

    try:
        return patiently(compare)
    except UserError as error:
        return f"{error.where}: {error.what}"


def first_difference(tape: Tape, rows: npt.NDArray[np.void], where: str) -> str:
    """The first difference between the headers of a tar and the rows of its index, as a sentence that begins with `where`
    and names record and member; empty where there is none. UserError for what is no whole tar."""
    columns = [name.removesuffix(".offset") for name in rows.dtype.names or () if name.endswith(".offset")]
    number = -1
    for number, (key, record) in enumerate(_records(tape, where)):
        if number == len(rows):
            return f"{where}, record {number} ({shown(key)}): the index ends before it"
        row, place = rows[number], f"{where}, record {number} ({shown(key)})"
        if (indexed := bytes(row["key"]).decode(errors="replace")) != key:
            return f"{place}: the index has record {indexed!r} in its place"
        for name in sorted({*columns, *record}):
            there = record.get(name)
            told = (int(row[f"{name}.offset"]), int(row[f"{name}.length"])) if name in columns else (0, 0)
            if there is None and not told[0]:
                continue
            if there is None:
                return f"{place}, {shown(name)}: the index has it and the tar does not"
            if not told[0]:
                return f"{place}, {shown(name)}: the tar has it and the index does not"
            if there != told:
                return (
                    f"{place}, {shown(name)}: {there[1]:,} bytes from byte {there[0]:,} on, where the index says "
                    f"{told[1]:,} bytes from byte {told[0]:,} on"
                )
    if number + 1 < len(rows):
        return f"{where}: it ends before record {number + 1} ({shown(bytes(rows[number + 1]['key']).decode(errors='replace'))})"
    return ""


def _records(tape: Tape, where: str) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """Key of each record, and offset and length of its members, by name."""
    key, record = "", dict[str, tuple[int, int]]()
    for file in members(tape, where):
        parts = split_name(file.name)
        if parts is None:
            continue
        if parts[0] != key and record:
            yield key, record
            record = {}
        key = parts[0]
        record[parts[1]] = (file.offset_data, file.size)
    if record:
        yield key, record
