"""What shards are made of: counts from the manifests, distributions from records spread over each source."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pretrain_api.image_shards import ImageManifest
from pretrain_api.nouns import counted
from pretrain_api.samples import kind_of
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.indexing.names import shown
from pretrain_trainer.inspecting.histograms import bars, by_power
from pretrain_trainer.inspecting.targets import SampleSource, Target, TokenSource

_LOOKED_AT = 512
"""Most samples or records of a source that distributions are taken from."""


def stats(target: Target) -> dict[str, Any]:
    """The figures of every source by its name, as `-o json` prints them."""
    weights = {s.name: s.weight for s in target.run.job.spec.data.sources} if target.run else {}
    whole = sum(weights.values())
    found: dict[str, Any] = {}
    for source in target.sources:
        figures = _tokens(source) if isinstance(source, TokenSource) else _samples(source)
        if weights:
            figures["share"] = weights[source.name] / whole
        found[source.name] = figures
    return found


def _tokens(source: TokenSource) -> dict[str, Any]:
    manifest = source.manifest
    splits = {}
    for name, split in (("train", manifest.train), ("validation", manifest.validation)):
        splits[name] = {
            "samples": split.samples,
            "tokens": split.tokens,
            "documents": split.documents,
            "textBytes": split.text_bytes,
            "shards": len(split.shards),
            "bytes": sum(shard.bytes for shard in split.shards),
        }
    lengths, looked_at = _document_lengths(source)
    return {
        "kind": "tokens",
        "sequenceLength": manifest.sequence_length,
        "dtype": manifest.dtype,
        "vocabSize": manifest.vocab_size,
        "tokenizerSha256": manifest.tokenizer_sha256,
        **splits,
        "samplesLookedAt": looked_at,
        "documentLengths": {str(p): n for p, n in lengths.items()},
    }


def _document_lengths(source: TokenSource) -> tuple[dict[int, int], int]:
    """Parts of documents by their tokens, as they stand in samples that are spread over the source."""
    samples = source.manifest.train.samples
    count = min(samples, _LOOKED_AT)
    if not count:
        return {}, 0
    index = np.arange(count, dtype=np.int64) * samples // count
    with contextlib.closing(SampleReader(source.storage, [(source.folder, source.manifest)])) as reader:
        read = reader.read(np.zeros_like(index), index)
    lengths: list[int] = []
    for ids, valid in zip(read.document_ids, read.valid, strict=True):
        lengths += [n for n in np.bincount(ids[valid]).tolist() if n] if valid.any() else []
    return by_power(lengths), count


def _samples(source: SampleSource) -> dict[str, Any]:
    manifest, total = source.shards.manifest, source.samples
    count = min(total, _LOOKED_AT)
    formats, sizes, captions = Counter[str](), Counter[str](), list[int]()
    sides = list[int]()
    for index in (np.arange(count, dtype=np.int64) * total // max(count, 1)).tolist():
        for name, content in source.read(index).members.items():
            if kind_of(name) == "text":
                captions.append(len(content.decode(errors="replace")))
            elif kind_of(name) == "image":
                form, size = _image(content)
                formats[form] += 1
                sizes[f"{size[0]}x{size[1]}"] += 1
                sides.append(min(size))
    return {
        "kind": "samples",
        "records": manifest.records,
        "samples": manifest.samples,
        **(_splits(source.trained.manifest) if source.trained else {}),
        "shards": len(manifest.shards),
        "bytes": manifest.bytes,
        "members": {
            name: {
                "kind": member.kind,
                "records": member.records,
                "missing": manifest.records - member.records,
                "bytes": member.bytes,
                **({"array": member.array.model_dump()} if member.array else {}),
            }
            for name, member in manifest.members.items()
        },
        "recordsLookedAt": count,
        "imageFormats": dict(formats.most_common()),
        "imageSizes": dict(sizes.most_common(10)),
        "imageShorterSides": {str(p): n for p, n in by_power(sides).items()},
        "textCharacters": {str(p): n for p, n in by_power(captions).items()},
    }


def _splits(manifest: ImageManifest) -> dict[str, Any]:
    """What a run makes of the records."""
    return {
        "train": {"samples": manifest.train.samples},
        "validation": {"samples": manifest.validation.samples},
        "leftOut": manifest.left_out,
    }


def _image(content: bytes) -> tuple[str, tuple[int, int]]:
    """Format and size of an image from its header."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return str(image.format), image.size
    except Exception:  # noqa: BLE001 - `verify` tells what is wrong with it
        return "unreadable", (0, 0)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures for a person."""
    for name, figures in found.items():
        share = f", {figures['share']:.1%} of the samples" if "share" in figures else ""
        yield f"{name}: {'token shards' if figures['kind'] == 'tokens' else 'samples'}{share}"
        yield from _token_lines(figures) if figures["kind"] == "tokens" else _sample_lines(figures)
        yield ""
    if len(found) > 1 and all(figures["kind"] == "tokens" for figures in found.values()):
        total = sum(figures["train"]["tokens"] for figures in found.values())
        yield f"{len(found)} sources, {total:,} tokens to train on"


def _token_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"  sequences of {figures['sequenceLength']} tokens, {figures['dtype']}, {figures['vocabSize']:,} entries"
    for split in ("train", "validation"):
        f = figures[split]
        per_token = f", {f['textBytes'] / f['tokens']:.2f} bytes per token" if f["textBytes"] and f["tokens"] else ""
        yield (
            f"  {split}: {f['samples']:,} samples, {f['tokens']:,} tokens, {f['documents']:,} documents in {f['shards']:,} "
            f"shards, {f['bytes']:,} bytes{per_token}"
        )
    yield from _drawn(
        "tokens of a document within a sample",
        figures["documentLengths"],
        counted(figures["samplesLookedAt"], "sample"),
    )


def _sample_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {figures['records']:,} records in {figures['shards']:,} tars, {figures['bytes']:,} bytes"
    if "train" in figures:
        lacking = "".join(f", {count:,} {fault} left out" for fault, count in figures["leftOut"].items())
        trained, held_out = (figures[split]["samples"] for split in ("train", "validation"))
        yield f"  {trained:,} images to train on, {held_out:,} held out{lacking}"
    for name, member in figures["members"].items():
        missing = f", missing in {member['missing']:,}" if member["missing"] else ""
        yield f"  {shown(name)}: {member['kind']}, {member['records']:,} records, {member['bytes']:,} bytes{missing}"
    if figures["imageFormats"]:
        yield "  image formats: " + ", ".join(f"{form} {n:,}" for form, n in figures["imageFormats"].items())
        yield "  image sizes: " + ", ".join(f"{size} {n:,}" for size, n in figures["imageSizes"].items())
    records = counted(figures["recordsLookedAt"], "record")
    yield from _drawn("pixels of an image's shorter side", figures["imageShorterSides"], records)
    yield from _drawn("characters of a text", figures["textCharacters"], records)


def _drawn(title: str, counts: Mapping[str, int], looked_at: str) -> Iterator[str]:
    if counts:
        yield f"  {title} ({sum(counts.values()):,} in {looked_at} looked at):"
        yield from (f"    {line}" for line in bars({int(p): n for p, n in counts.items()}))
