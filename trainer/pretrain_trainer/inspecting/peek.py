"""Samples as a person reads them: tokens as text with the boundaries of documents, images as a contact sheet."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pretrain_api.errors import UserError
from pretrain_api.samples import kind_of
from pretrain_trainer.data.foreign import Sample
from pretrain_trainer.data.mixture import mixture_of
from pretrain_trainer.data.opened import AnyManifest
from pretrain_trainer.data.order import locate
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.indexing.names import shown
from pretrain_trainer.inspecting.sheets import Picture
from pretrain_trainer.inspecting.targets import SampleSource, Source, Target, TokenSource
from pretrain_trainer.tokenizer import LoadedTokenizer

_BOUNDARY = "┄┄┄ another document ┄┄┄"
_PADDING = "┄┄┄ padding: {count} tokens ┄┄┄"
_TEXT_CHARACTERS = 500


@dataclass(frozen=True)
class Place:
    """A sample of a source, and how it came to be looked at."""

    source: Source
    index: int
    said: str = ""


def numbers(total: int, count: int, seed: int | None) -> list[int]:
    """Which of `total` samples to show: the first ones, or some that the seed draws, each once."""
    count = min(count, total)
    return list(range(count)) if seed is None else sorted(random.Random(seed).sample(range(total), count))


def at_position(target: Target, g: int, count: int) -> list[Place]:
    """What a run trains on at position g of its order and behind it. UserError where there is no such position."""
    if target.run is None:
        what = "positions are those of a run's order, and this is a manifest."
        raise UserError("no-position", "--at", what, "Write the address of a run, or leave --at out.")
    manifests = [_manifest(source) for source in target.sources]
    segments = commits[-1].segments if (commits := target.run.commits()) else ()
    mixture = mixture_of(target.run.job.spec, manifests, segments)
    if g < 0 or (mixture.total is not None and g >= mixture.total):
        last = "" if mixture.total is None else f" to {mixture.total - 1}"
        raise UserError("no-position", "--at", f"the run has positions 0{last}, not {g}.", "Write one of these.")
    end = g + count if mixture.total is None else min(g + count, mixture.total)
    positions = np.arange(g, end, dtype=np.int64)
    found = []
    for position, number, epoch, index in zip(positions, *locate(mixture, positions), strict=True):
        source = target.sources[int(number)]
        batch = target.run.job.spec.training.global_batch_size
        said = f"position {position} (step {int(position) // batch + 1}), epoch {int(epoch) + 1} of {source.name}"
        found.append(Place(source, int(index), said))
    return found


def chosen(source: Source, count: int, seed: int | None) -> list[Place]:
    """Some samples of a source, `numbers` of them."""
    total = source.manifest.train.samples if isinstance(source, TokenSource) else source.samples
    return [Place(source, index) for index in numbers(total, count, seed)]


def _manifest(source: Source) -> AnyManifest:
    if isinstance(source, TokenSource):
        return source.manifest
    assert source.trained
    return source.trained.manifest


def token_lines(places: Sequence[Place], tokenizer: LoadedTokenizer | None) -> Iterator[str]:
    """Each sample as text, or as numbers where no tokenizer is known."""
    for place in places:
        assert isinstance(place.source, TokenSource)
        manifest = place.source.manifest
        with contextlib.closing(SampleReader(place.source.storage, [(place.source.folder, manifest)])) as reader:
            read = reader.read(np.zeros(1, dtype=np.int64), np.array([place.index]))
        record, slot = divmod(place.index, manifest.samples_per_record)
        said = f"{place.said}, " if place.said else f"{place.source.name}, "
        yield f"=== {said}sample {place.index}: {shard_of(place.source, record)}, sequence {slot}"
        tokens, ids, valid = read.tokens[0], read.document_ids[0], read.valid[0]
        for number, document in enumerate(np.unique(ids[valid])):
            if number:
                yield _BOUNDARY
            own = tokens[valid & (ids == document)]
            yield text_of(own, tokenizer)
        if padded := int((~valid).sum()):
            yield _PADDING.format(count=padded)


def shard_of(source: TokenSource, record: int) -> str:
    """Where a record of the training split lies."""
    for shard in source.manifest.train.shards:
        if record < shard.records:
            return f"{shard.name}, record {record}"
        record -= shard.records
    return ""


def text_of(tokens: np.ndarray, tokenizer: LoadedTokenizer | None) -> str:
    """Tokens as text; without a tokenizer their numbers."""
    if tokenizer is None:
        return " ".join(map(str, tokens.tolist()))
    return str(tokenizer.tokenizer.decode(tokens.tolist(), skip_special_tokens=False))


def samples_of(places: Sequence[Place]) -> list[Sample]:
    """The records of shards that others wrote."""
    return [place.source.read(place.index) for place in places if isinstance(place.source, SampleSource)]


def sample_lines(places: Sequence[Place], samples: Sequence[Sample]) -> Iterator[str]:
    """Each record with its texts, and the size of what is none."""
    for place, sample in zip(places, samples, strict=True):
        said = f"{place.said}, " if place.said else ""
        yield f"=== {said}{shown(sample.key)}: {sample.shard}, record {sample.number}"
        for name, content in sample.members.items():
            yield f"{shown(name)}: {_content(name, content)}"


def _content(name: str, content: bytes) -> str:
    text = ""
    if kind_of(name) == "text":
        text = content.decode(errors="replace")
    elif kind_of(name) == "json":
        try:
            text = json.dumps(json.loads(content), ensure_ascii=False)
        except ValueError:
            text = content.decode(errors="replace")
    else:
        return f"{len(content):,} bytes"
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}... ({len(text):,} characters)"


def pictures(samples: Sequence[Sample]) -> list[Picture]:
    """The first image of each record that has one, with its first text, else its key."""
    found = []
    for sample in samples:
        images = [content for name, content in sample.members.items() if kind_of(name) == "image"]
        texts = [
            content.decode(errors="replace") for name, content in sample.members.items() if kind_of(name) == "text"
        ]
        if images:
            found.append(Picture(images[0], texts[0] if texts else sample.key))
    return found
