"""Encode, where samples are images: which records of the given tars are trained on, held out, or neither. The tars stay
where they are, and only their indexes are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pretrain_api import layout, objectives
from pretrain_api.errors import UserError
from pretrain_api.image_shards import HELD_OUT, LEFT_OUT, ImageManifest, ImageSplit
from pretrain_api.nouns import counted
from pretrain_api.samples import SampleManifest
from pretrain_api.stages import Flow
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.data import given
from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.data.given import Given
from pretrain_trainer.data.image_source import save_numbers
from pretrain_trainer.data.samples import Int64s
from pretrain_trainer.data.split import split_key, validation_bound
from pretrain_trainer.documents import webdataset

_NO_IMAGE, _NO_CAPTION = "without an image", "without a caption"


@dataclass(frozen=True)
class _Wanted:
    """What a record of a source needs to be a sample."""

    images: tuple[str, ...]
    captions: tuple[str, ...]
    """One of these members; empty where no caption is wanted."""


@dataclass(frozen=True)
class Divided:
    """The records of a source. Numbers rise."""

    one: Given
    shards: SampleShards
    caption: str
    """The field or member that holds the caption; empty where none is wanted."""
    wanted: _Wanted
    left_out: Int64s
    faults: dict[str, int]
    """How many records lack what."""
    held_out: Int64s


def run(context: StageContext) -> StageResult:
    """Write a manifest for each source. UserError for shards that hold nothing to train on."""
    flows, details = dict[str, Flow](), dict[str, object]()
    for found in divided(context):
        one, shards, left_out, held_out = found.one, found.shards, found.left_out, found.held_out
        manifest = ImageManifest(
            fingerprint=context.fingerprint,
            source=one.source,
            uri=shards.storage.uri(one.uri.rpartition("/")[2]),  # also where the job's is relative
            sha256=one.sha256,
            images=found.wanted.images,
            caption=found.caption,
            left_out=found.faults,
            train=ImageSplit(samples=len(shards) - len(held_out) - len(left_out)),
            validation=ImageSplit(samples=len(held_out)),
        )
        _check_enough(manifest, one)
        folder = layout.shards(context.fingerprint, one.source)
        save_numbers(context.storage, f"{folder}/{HELD_OUT}", held_out)
        save_numbers(context.storage, f"{folder}/{LEFT_OUT}", left_out)
        context.storage.write_json(f"{folder}/{layout.MANIFEST}", manifest.model_dump())
        kept = manifest.train.samples + manifest.validation.samples
        size = shards.manifest.bytes
        flows[one.source] = Flow(documents_in=len(shards), bytes_in=size, documents_out=kept, bytes_out=size)
        details[one.source] = {
            "samples": manifest.train.samples,
            "validationSamples": manifest.validation.samples,
            "leftOut": found.faults,
            "shards": len(shards.manifest.shards),
            "bytes": size,
        }
    return StageResult(Flow.total(flows.values()), flows, _message(details), {"bySource": details})


def divided(context: StageContext) -> Iterator[Divided]:
    """The sources of a job of images, one after the other. UserError for shards that lack what the objective learns from."""
    spec = context.spec
    for number, one in enumerate(given.read(spec)):
        field = spec.data.sources[number].fields.text if objectives.reads_text(spec) else ""
        wanted = _wanted(one, field)
        shards = SampleShards(one.uri, spec.storage.endpoint_url, one.where)
        left_out, faults = _left_out(shards, wanted, _told(context, one.source, len(shards)))
        held_out = _held_out(shards, left_out, spec.data.validation.fraction)
        yield Divided(one, shards, field, wanted, left_out, faults, held_out)


def _wanted(one: Given, caption: str) -> _Wanted:
    """UserError where the shards cannot have what the objective learns from."""
    if not isinstance(one.manifest, SampleManifest):
        what = f"{one.uri} is a manifest of token shards, and the objective learns from images."
        raise UserError(
            "manifest-kind", one.where, what, "Write the manifest.json of `pretrain index` on tars of images."
        )
    members = one.manifest.members
    images = tuple(name for name, member in members.items() if member.kind == "image")
    if not images:
        what = f"the records of {one.uri} hold no images, but {', '.join(members)}."
        raise UserError(
            "shards-without-images", one.where, what, "Name images by what they are: .jpg, .jpeg, .png or .webp."
        )
    # An image alone comes first where a record has masks or thumbnails as well: jpg, then seg.png.
    images = tuple(sorted(images, key=lambda name: name.count(".")))
    if not caption:
        return _Wanted(images, ())
    captions = webdataset.members_of(caption, members)
    if not captions:
        what = f"the records of {one.uri} have no member or JSON field {caption!r}, but {', '.join(members)}."
        instead = "Write fields: {text: ...} of the source with the member or JSON field that holds the caption."
        raise UserError("shards-without-captions", one.where, what, instead)
    return _Wanted(images, captions)


def _left_out(shards: SampleShards, wanted: _Wanted, told: Callable[[int], None]) -> tuple[Int64s, dict[str, int]]:
    """Rising numbers of the records that lack something, and how many lack what."""
    lacking, faults, first = list[Int64s](), Counter[str](), 0
    for number, shard in enumerate(shards.manifest.shards):
        rows = shards.index(number)
        image, caption = _has(rows, wanted.images), _has(rows, wanted.captions)
        if not wanted.captions:
            caption[:] = True
        faults[_NO_IMAGE] += int((~image).sum())
        faults[_NO_CAPTION] += int((image & ~caption).sum())
        lacking.append(np.flatnonzero(~(image & caption)).astype(np.int64) + first)
        first += shard.records
        told(first)
    return np.concatenate(lacking), {fault: count for fault, count in faults.items() if count}


def _has(rows: npt.NDArray[np.void], members: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Which records have one of the members."""
    found = np.zeros(len(rows), dtype=np.bool_)
    for member in members:
        if f"{member}.offset" in (rows.dtype.names or ()):
            found |= rows[f"{member}.offset"] > 0
    return found


def _held_out(shards: SampleShards, left_out: Int64s, fraction: float) -> Int64s:
    """Rising numbers of the records that are held out: by their names, as with arrays of tokens."""
    bound = validation_bound(given.keys(shards), fraction)
    if not bound:
        return np.empty(0, dtype=np.int64)
    keys = np.fromiter((split_key(key) for key in given.keys(shards)), dtype=np.uint64, count=len(shards))
    low = np.flatnonzero(keys < np.uint64(min(bound, (1 << 64) - 1))).astype(np.int64)
    return np.setdiff1d(low, left_out, assume_unique=True)


def _check_enough(manifest: ImageManifest, one: Given) -> None:
    if manifest.train.samples:
        return
    lacks = ", ".join(f"{count} {fault}" for fault, count in manifest.left_out.items())
    what = f"no record of {one.uri} is left to train on" + (
        f": of {manifest.records} records {lacks}." if lacks else "."
    )
    raise UserError("too-few-images", one.where, what, "Add records, or lower spec.data.validation.fraction.")


def _told(context: StageContext, source: str, records: int) -> Callable[[int], None]:
    def told(done: int) -> None:
        context.check_stopping()
        context.progress.update("index", done, records, "records", message=f"Dividing the records of {source}")

    return told


def _message(details: dict[str, object]) -> str:
    figures = [each for each in details.values() if isinstance(each, dict)]
    images, held_out = (sum(each[name] for each in figures) for name in ("samples", "validationSamples"))
    faults = sum((Counter(each["leftOut"]) for each in figures), Counter[str]())
    message = f"{counted(images, 'image')}; {held_out:,} held out"
    return message + "".join(f"; {count:,} {fault} left out" for fault, count in faults.items())
