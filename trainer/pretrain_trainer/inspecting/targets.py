"""What a command is to look at: the sources of a run, or of one manifest of either kind."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pretrain_api import layout, objectives
from pretrain_api.errors import UserError
from pretrain_api.samples import SampleManifest
from pretrain_api.shards import Manifest
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_trainer.data import manifest_file, opened
from pretrain_trainer.data.foreign import Sample, SampleShards
from pretrain_trainer.data.image_source import ImageSource
from pretrain_trainer.data.opened import AnyManifest
from pretrain_trainer.reporting import records
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.tokenizer import LoadedTokenizer, load_folder, load_given


@dataclass(frozen=True)
class TokenSource:
    """Token shards as Encode writes them."""

    name: str
    storage: Storage
    folder: str
    """Of the storage."""
    manifest: Manifest


@dataclass(frozen=True)
class SampleSource:
    """Shards that others wrote, by themselves or as a run of images has them."""

    name: str
    shards: SampleShards
    trained: ImageSource | None = None
    """Which records a run trains on, where they are one's."""

    @property
    def samples(self) -> int:
        """To look at: all records, or those that the run trains on."""
        return self.trained.samples if self.trained else len(self.shards)

    def read(self, index: int) -> Sample:
        """The record of a sample."""
        record = int(self.trained.records(np.array([index]))[0]) if self.trained else index
        return self.shards.read(record)


Source = TokenSource | SampleSource


@dataclass(frozen=True)
class Target:
    """The sources, and the run where they are one's."""

    sources: Sequence[Source]
    run: RunRecords | None = None
    tokenizer: LoadedTokenizer | None = None
    """Of the run, or the one that was named."""

    def chosen(self, name: str) -> Source:
        """The source of that name; "": the first one. UserError where there is none of that name."""
        found = next((source for source in self.sources if name in ("", source.name)), None)
        if found is None:
            names = ", ".join(source.name for source in self.sources)
            raise UserError("no-such-source", "--source", f"{name!r} is no source here.", f"Write one of {names}.")
        return found


def find(uri: str, endpoint_url: str, tokenizer_uri: str = "") -> Target:
    """What an address names: a manifest.json, a folder with one, or a run. UserError for anything else."""
    tokenizer = load_given(tokenizer_uri, endpoint_url, "--tokenizer") if tokenizer_uri else None
    if uri.endswith(".json"):
        return Target([_source(uri, endpoint_url)], tokenizer=tokenizer)
    storage = Storage(uri, endpoint_url)
    if storage.exists(layout.MANIFEST):
        return Target([_source(f"{uri.rstrip('/')}/{layout.MANIFEST}", endpoint_url)], tokenizer=tokenizer)
    if not storage.exists(layout.STATUS):
        raise UserError(
            "no-shards",
            uri,
            f"there is neither a {layout.MANIFEST} nor a run.",
            "Write the address of a manifest.json or of a run; `pretrain index` makes the manifest of WebDataset tars.",
        )
    run = records.find(storage)
    if Stage.ENCODE not in run.records:
        raise UserError("no-shards", uri, "the run has not encoded anything yet.", "Wait until Encode is complete.")
    places = opened.read(storage, run.job.spec, run.records[Stage.ENCODE].fingerprint)
    sources = [_of_run(storage, folder, manifest) for folder, manifest in places]
    if tokenizer is None and Stage.TOKENIZER in run.records and objectives.reads_text(run.job.spec):
        tokenizer = load_folder(storage, layout.tokenizer(run.records[Stage.TOKENIZER].fingerprint))
    return Target(sources, run, tokenizer)


def _of_run(storage: Storage, folder: str, manifest: AnyManifest) -> Source:
    if isinstance(manifest, Manifest):
        return TokenSource(manifest.source, *storage.at(folder), manifest)
    images = ImageSource.of(storage, folder, manifest, "train")
    return SampleSource(manifest.source, images.shards, images)


def _source(uri: str, endpoint_url: str) -> Source:
    file = manifest_file.read(uri, endpoint_url)
    if isinstance(file.manifest, SampleManifest):
        return SampleSource(posixpath.basename(posixpath.dirname(uri)) or "shards", SampleShards(uri, endpoint_url))
    parent, _, last = file.storage.uri().rpartition("/")
    return TokenSource(file.manifest.source, Storage(parent, endpoint_url), last, file.manifest)
