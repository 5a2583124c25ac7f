"""The Encode stage: prepared documents to token shards, a manifest per source."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.nouns import counted
from pretrain_api.shards import Manifest, Shard, Split
from pretrain_api.stages import Flow, Stage
from pretrain_trainer import tokenizer
from pretrain_trainer.context import Share, StageContext, StageResult
from pretrain_trainer.data.documents import divide, part_paths, source_texts
from pretrain_trainer.data.packing import Packing, plan, write_shard
from pretrain_trainer.data.shards import SHARD_BYTES, samples_per_record, token_dtype
from pretrain_trainer.data.split import fraction_bound, validation_bound
from pretrain_trainer.data.token_streams import (
    SPLITS,
    Encoding,
    PieceCounts,
    StreamCounts,
    documents_path,
    encode_piece,
)
from pretrain_trainer.parallel import ordered_map, processes
from pretrain_trainer.tokenizer import LoadedTokenizer

TOKENS_PER_PACKER = 1 << 28
"""Tokens that make a further process for writing shards worth its start: a second of work."""
VALIDATION_DOCUMENTS = "validation/documents.parquet"


@dataclass(frozen=True)
class _Source:
    """A source on its way through the stage."""

    name: str
    folder: str
    bound: int
    """Key below which its documents are held out."""
    pieces: tuple[tuple[str, PieceCounts], ...]
    """Target and counts of each piece, in the order of the documents."""

    def counts(self, split: str) -> StreamCounts:
        parts: list[StreamCounts] = [getattr(counts, split) for _, counts in self.pieces]
        return StreamCounts(
            tokens=sum(part.tokens for part in parts),
            documents=sum(part.documents for part in parts),
            text_bytes=sum(part.text_bytes for part in parts),
            lengths=[sum(column) for column in zip(*(part.lengths for part in parts), strict=True)],
        )


def run(context: StageContext) -> StageResult:
    try:
        return _run(context)
    except UserError:
        # Other documents or settings have another identity: nobody would ever read what is here.
        context.storage.remove(layout.all_shards(context.fingerprint))
        raise


def _run(context: StageContext) -> StageResult:
    loaded = tokenizer.load(context)
    sources = _encode(context, Share())
    for number, source in enumerate(sources):
        _check_enough(source, number, context.spec.training.sequence_length)
    manifests = _pack(context, loaded, sources)
    for source, manifest in zip(sources, manifests, strict=True):
        _gather_validation_documents(context, source)
        context.storage.write_json(f"{source.folder}/{layout.MANIFEST}", manifest.model_dump())
    for source in sources:
        context.storage.remove(f"{source.folder}/pieces")
    return _result(sources, manifests, context.spec.data.validation.fraction)


def _encode_share(context: StageContext) -> None:
    """Turn the documents of this share's parts into token streams."""
    _encode(context, context.share)


def _pack_share(context: StageContext) -> None:
    """Write the shards of this share."""
    sources = _encode(context, Share())
    _write_shards(context, context.share.of(_plan(context, tokenizer.load(context), sources)))


PHASES: Mapping[str, Callable[[StageContext], None]] = {"encode": _encode_share, "pack": _pack_share}


def _encode(context: StageContext, share: Share) -> list[_Source]:
    """Turn documents into token streams: those of the parts in the share, over all sources."""
    storage, prepared = context.storage, context.upstream[Stage.PREPARE]
    fraction = context.spec.data.validation.fraction
    every_part = [(s.name, path) for s in context.spec.data.sources for path in part_paths(storage, prepared, s.name)]
    encodings: list[tuple[str, Encoding]] = []
    bounds = dict[str, int]()
    for name, path in share.of(every_part):
        context.check_stopping()
        if name not in bounds:
            bounds[name] = validation_bound(source_texts(storage, prepared, name), fraction)
        folder = layout.shards(context.fingerprint, name)
        encodings.extend(
            (
                name,
                Encoding(
                    storage,
                    layout.tokenizer(context.upstream[Stage.TOKENIZER]),
                    piece,
                    f"{folder}/pieces/{piece.name}",
                    bounds[name],
                ),
            )
            for piece in divide(storage, path)
        )
    done = defaultdict[str, list[tuple[str, PieceCounts]]](list)
    tokens = encoded = 0
    total = sum(encoding.piece.bytes for _, encoding in encodings)
    results = ordered_map(
        encode_piece,
        (encoding for _, encoding in encodings),
        max(1, min(processes(context), len(encodings))),
        context,
    )
    for (name, encoding), counts in zip(encodings, results, strict=True):
        done[name].append((encoding.target, counts))
        tokens += counts.train.tokens + counts.validation.tokens
        encoded += encoding.piece.bytes
        context.progress.update("encode", encoded, total, "bytes", tokens=tokens)
    return [
        _Source(s.name, layout.shards(context.fingerprint, s.name), bounds.get(s.name, 0), tuple(done[s.name]))
        for s in context.spec.data.sources
    ]


def _check_enough(source: _Source, number: int, sequence_length: int) -> None:
    train = source.counts("train")
    if train.tokens > sequence_length:
        return
    raise UserError(
        "too-few-tokens",
        f"spec.data.sources[{number}]",
        f"Source {source.name} has {counted(train.tokens, 'token')} to train on in {counted(train.documents, 'document')}, "
        f"fewer than one sequence of {sequence_length} + 1.",
        "Add documents, loosen the filters of spec.data.prepare, lower spec.data.validation.fraction, or write "
        f"spec.training.sequenceLength: {max(8, train.tokens - 1)} or less."
        if train.tokens > 8
        else "Add documents, or loosen the filters of spec.data.prepare.",
    )


def _plan(context: StageContext, loaded: LoadedTokenizer, sources: Sequence[_Source]) -> list[tuple[str, Packing]]:
    """Source and contents of every shard."""
    return [
        (source.name, packing)
        for source in sources
        for split in SPLITS
        for packing in plan(
            context.storage,
            source.folder,
            split,
            [(target, getattr(counts, split).tokens) for target, counts in source.pieces],
            context.spec.training.sequence_length,
            loaded.vocab_size,
            loaded.padding,
            SHARD_BYTES,
        )
    ]


def _write_shards(
    context: StageContext, packings: Sequence[tuple[str, Packing]]
) -> Mapping[tuple[str, str], list[Shard]]:
    """The shards, written, by source and split."""
    tokens = sum(packing.end - packing.begin for _, packing in packings)
    shards = defaultdict[tuple[str, str], list[Shard]](list)
    results = ordered_map(
        write_shard,
        (packing for _, packing in packings),
        max(1, min(processes(context), tokens // TOKENS_PER_PACKER)),
        context,
    )
    for done, ((name, packing), shard) in enumerate(zip(packings, results, strict=True), start=1):
        shards[name, packing.split].append(shard)
        context.progress.update("shards", done, len(packings), "shards")
    return shards


def _pack(context: StageContext, loaded: LoadedTokenizer, sources: Sequence[_Source]) -> list[Manifest]:
    """Cut the streams into shards."""
    length = context.spec.training.sequence_length
    shards = _write_shards(context, _plan(context, loaded, sources))

    def split_of(source: _Source, split: str) -> Split:
        counts, written = source.counts(split), shards[source.name, split]
        return Split(
            shards=written,
            samples=sum(shard.samples for shard in written),
            tokens=counts.tokens,
            documents=counts.documents,
            text_bytes=counts.text_bytes,
        )

    dtype = token_dtype(loaded.vocab_size)
    return [
        Manifest(
            fingerprint=context.fingerprint,
            source=source.name,
            sequence_length=length,
            samples_per_record=samples_per_record(length, dtype),
            dtype="uint16" if dtype.itemsize == 2 else "uint32",
            vocab_size=loaded.vocab_size,
            tokenizer_sha256=loaded.sha256,
            end_of_text=loaded.end_of_text,
            padding=loaded.padding,
            train=split_of(source, "train"),
            validation=split_of(source, "validation"),
        )
        for source in sources
    ]


def _gather_validation_documents(context: StageContext, source: _Source) -> None:
    """Bring the held-out documents of the pieces together in one file."""
    targets = [target for target, counts in source.pieces if counts.validation.documents]
    if not targets:
        return
    storage = context.storage
    with storage.create(f"{source.folder}/{VALIDATION_DOCUMENTS}") as out:
        writer: pq.ParquetWriter | None = None
        for target in targets:
            with storage.fs.open(storage.path(documents_path(target)), "rb") as file:
                table = pq.read_table(file)
            writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd")
            writer.write_table(table)
        if writer:
            writer.close()


def _result(sources: Sequence[_Source], manifests: Sequence[Manifest], fraction: float) -> StageResult:
    flows = {
        m.source: Flow(
            documents_in=m.train.documents + m.validation.documents,
            bytes_in=m.train.text_bytes + m.validation.text_bytes,
            documents_out=m.train.documents + m.validation.documents,
            bytes_out=m.train.text_bytes + m.validation.text_bytes,
        )
        for m in manifests
    }
    total = Flow(
        documents_in=sum(f.documents_in for f in flows.values()),
        bytes_in=sum(f.bytes_in for f in flows.values()),
        documents_out=sum(f.documents_out for f in flows.values()),
        bytes_out=sum(f.bytes_out for f in flows.values()),
    )
    tokens = sum(m.train.tokens for m in manifests)
    held_out = sum(m.validation.documents for m in manifests)
    small = [source.name for source in sources if source.bound > fraction_bound(fraction)]
    message = (
        f"{counted(tokens, 'token')} in {counted(sum(m.train.samples for m in manifests), 'sequence')}; "
        f"{counted(held_out, 'document')} held out"
    )
    if small:
        message += f", of {', '.join(small)} one text, since validation.fraction {fraction:g} holds none of it out"
    return StageResult(
        total,
        flows,
        message,
        {"bySource": {m.source: _details(s, m) for s, m in zip(sources, manifests, strict=True)}},
    )


def _details(source: _Source, manifest: Manifest) -> dict[str, object]:
    train, validation = manifest.train, manifest.validation
    width = manifest.sequence_length + 1
    return {
        "tokens": train.tokens,
        "samples": train.samples,
        "paddingTokens": train.samples * width - train.tokens,
        "shards": len(train.shards),
        "documents": train.documents,
        "bytesPerToken": train.text_bytes / train.tokens,
        "validationTokens": validation.tokens,
        "validationSamples": validation.samples,
        "validationDocuments": validation.documents,
        "documentLengths": {
            str(1 << power): count for power, count in enumerate(source.counts("train").lengths) if count
        },
    }
