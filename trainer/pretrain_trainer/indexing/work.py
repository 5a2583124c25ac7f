"""Indexing many tars: what is done is kept, what is missing is done in parallel, the manifest comes last."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.samples import SampleManifest, SampleShard, joined
from pretrain_api.storage import Storage
from pretrain_trainer.data import manifest_file
from pretrain_trainer.documents.faults import patiently, reading
from pretrain_trainer.documents.reading import opened
from pretrain_trainer.indexing.places import Places, Tar
from pretrain_trainer.indexing.shard import index_tar
from pretrain_trainer.parallel import Stoppable, ordered_map
from pretrain_trainer.terminal import Bar

_NOTES = ".indexing"
"""Below the manifest's folder: what is known of the tars that are done, while not all are."""


@dataclass(frozen=True)
class Task:
    """A tar for one process."""

    tar: Tar
    folder: str
    endpoint_url: str


def index(
    places: Places, endpoint_url: str, processes: int, tokenizer_sha256: str, stopping: Stoppable
) -> tuple[SampleManifest, list[UserError]]:
    """Index what is not yet indexed and write the manifest; unless tars are broken: these are told, and none is written.

    The files are the same bytes however often this was interrupted, and for any number of processes.
    """
    storage = Storage(places.folder, endpoint_url)
    with reading(places.folder, places.folder):
        before = known(storage, places)
    shards, faults = list[SampleShard](), list[UserError]()
    kept = [_kept(before.get(tar.name), tar, storage) for tar in places.tars]
    missing = [tar for tar, line in zip(places.tars, kept, strict=True) if line is None]
    tasks = (Task(tar, places.folder, endpoint_url) for tar in missing)
    with Bar("index", sum(max(tar.bytes, 0) for tar in missing), "bytes") as bar:
        made = ordered_map(index_one, tasks, max(1, min(processes, len(missing))), stopping)
        for tar, line in zip(places.tars, kept, strict=True):
            result = line or next(made)
            if line is None:
                bar.advance(max(tar.bytes, 0))
            if isinstance(result, UserError):
                faults.append(result)
            else:
                shards.append(result)
    manifest = _manifest(shards, tokenizer_sha256)
    if faults:
        return manifest, faults
    if not manifest.records:
        raise UserError(
            "no-records",
            places.folder,
            "no tar holds a record: they are empty, or no file has a dot in its name.",
            "Index tars with files such as 000001.jpg and 000001.txt.",
        )
    storage.write_json(layout.MANIFEST, manifest.model_dump(mode="json"))
    storage.remove(_NOTES)
    return manifest, []


def index_one(task: Task) -> SampleShard | UserError:
    """Index a tar, leave its index and a note of it, and give the manifest's line on it; what is broken is given back."""
    try:
        return patiently(lambda: _index_one(task))
    except UserError as error:
        return error


def _index_one(task: Task) -> SampleShard:
    tar, storage = task.tar, Storage(task.folder, task.endpoint_url)
    _refuse_other_index(storage, tar.index)
    with opened(tar.url, tar.url) as file:
        found = index_tar(file, tar.url)
    if 0 <= tar.bytes != found.bytes:
        raise UserError(
            "file-changed",
            tar.url,
            f"it has {found.bytes} bytes; its listing said {tar.bytes}.",
            "Leave the tars alone while they are indexed.",
        )
    # NumPy warns that versions before 1.17 cannot read names of fields that are not ASCII, or many of them.
    with storage.create(tar.index) as out, warnings.catch_warnings(action="ignore", category=UserWarning):
        np.save(out, found.index, allow_pickle=False)
    shard = SampleShard(
        name=tar.name,
        index=tar.index,
        bytes=found.bytes,
        etag=tar.etag,
        modified=tar.modified,
        sha256=found.sha256,
        records=len(found.index),
        samples=found.samples,
        skipped=found.skipped,
        members=found.members,
    )
    storage.write_json(f"{_NOTES}/{tar.index}.json", shard.model_dump(mode="json"))
    return shard


def _refuse_other_index(storage: Storage, path: str) -> None:
    """Raise UserError where another program's file has the name of an index, as those of DALI's wds2idx have. One of ours
    is replaced, damaged or not."""
    try:
        content = storage.read_bytes(path)
    except FileNotFoundError:
        return
    except IsADirectoryError as error:
        raise _not_ours(storage.uri(path), "it is a folder, and the index of the tar has this name.") from error
    if content and not content.startswith(np.lib.format.MAGIC_PREFIX):
        raise _not_ours(
            storage.uri(path), "it is no index of `pretrain index`, but another program's (DALI's?) or damaged."
        )


def _not_ours(where: str, what: str) -> UserError:
    return UserError("index-of-others", where, what, "Move it away, or write --to with another folder.")


def _manifest(shards: Sequence[SampleShard], tokenizer_sha256: str) -> SampleManifest:
    return SampleManifest(
        tokenizer_sha256=tokenizer_sha256,
        records=sum(shard.records for shard in shards),
        samples=sum(shard.samples for shard in shards),
        bytes=sum(shard.bytes for shard in shards),
        members=joined(shard.members for shard in shards),
        shards=list(shards),
    )


def known(storage: Storage, places: Places) -> dict[str, SampleShard]:
    """What earlier runs found out, by the tar's name. UserError where the folder's manifest is one of other shards."""
    found: dict[str, SampleShard] = {}
    if storage.exists(layout.MANIFEST):
        where = storage.uri(layout.MANIFEST)
        manifest = patiently(lambda: manifest_file.read(where, storage.endpoint_url)).manifest
        if not isinstance(manifest, SampleManifest):
            what = f"the folder has a manifest of token shards, those of source {manifest.source}."
            instead = "Use it as it is: it needs no other index. Or write --to with another folder."
            raise UserError("manifest-of-others", where, what, instead)
        found = {shard.name: shard for shard in manifest.shards}
        names = {tar.name for tar in places.tars}
        if others := [name for name in found if name not in names]:
            raise UserError(
                "manifest-of-others",
                where,
                f"the folder has a manifest of other tars: {others[0]}{' and others' if others[1:] else ''}, which are not "
                "among those to index.",
                "Index all tars of the folder together, write --to with another folder, or remove the manifest.",
            )
    return found | {shard.name: shard for shard in _notes(storage, places)}


def _notes(storage: Storage, places: Places) -> Iterator[SampleShard]:
    if not storage.exists(_NOTES):
        return
    if storage.fs.isfile(storage.path(_NOTES)):
        raise _not_ours(storage.uri(_NOTES), "it is a file, and the folder of what is done so far has this name.")
    for tar in places.tars:
        if storage.exists(path := f"{_NOTES}/{tar.index}.json"):
            try:
                yield SampleShard.model_validate_json(storage.read_bytes(path))
            except (ValidationError, IsADirectoryError):  # damaged: the tar is not done
                storage.remove(path)


def _kept(shard: SampleShard | None, tar: Tar, storage: Storage) -> SampleShard | None:
    """The line of a tar that was indexed as it is now, if its index is there. A tar that tells no version is not."""
    if shard is None or not (tar.etag or tar.modified) or not storage.exists(shard.index):
        return None
    return shard if is_as_indexed(shard, tar) else None


def is_as_indexed(shard: SampleShard, tar: Tar) -> bool:
    """Whether a tar has the size and the version that it was indexed with."""
    return (shard.bytes, shard.etag, shard.modified) == (tar.bytes, tar.etag, tar.modified)
