"""The Encode stage: prepared documents to token shards, a manifest per source.

Token shards that another job's Encode wrote are only looked at, and so are tars of images; arrays of tokens that others
wrote are cut anew.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from pretrain_api import layout, objectives
from pretrain_api.errors import UserError
from pretrain_api.nouns import counted
from pretrain_api.samples import SampleManifest
from pretrain_api.shards import Manifest, Shard, Split
from pretrain_api.stages import Flow, Stage
from pretrain_api.storage import Storage
from pretrain_trainer import tokenizer
from pretrain_trainer.context import Share, StageContext, StageResult
from pretrain_trainer.data import given as given_shards
from pretrain_trainer.data import image_splits
from pretrain_trainer.data.array_streams import ArrayPiece, encode_arrays
from pretrain_trainer.data.documents import divide, part_paths, source_texts
from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.data.given import Given
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


def inputs(context: StageContext) -> str:
    """Identity of the shards that the job is given; they lie outside the run."""
    return given_shards.digest(given_shards.read(context.spec))


def run(context: StageContext) -> StageResult:
    try:
        return _run(context) if objectives.learns_text(context.spec) else image_splits.run(context)
    except UserError:
        # Other documents or settings have another identity: nobody would ever read what is here.
        context.storage.remove(layout.all_shards(context.fingerprint))
        raise


def _run(context: StageContext) -> StageResult:
    loaded = tokenizer.load(context)
    sources = _encode(context, Share())
    numbers = {source.name: number for number, source in enumerate(context.spec.data.sources)}
    for source in sources:
        _check_enough(source, numbers[source.name], context.spec.training.sequence_length)
    manifests = _pack(context, loaded, sources)
    for source, manifest in zip(sources, manifests, strict=True):
        _gather_validation_documents(context, source)
        context.storage.write_json(f"{source.folder}/{layout.MANIFEST}", manifest.model_dump())
    for source in sources:
        context.storage.remove(f"{source.folder}/pieces")
    elsewhere = _in_place(context)
    for manifest in elsewhere:
        folder = layout.shards(context.fingerprint, manifest.source)
        context.storage.write_json(f"{folder}/{layout.MANIFEST}", manifest.model_dump())
    return _result(sources, manifests, elsewhere, context.spec.data.validation.fraction)


def _in_place(context: StageContext) -> list[Manifest]:
    """The manifests of token shards that another job's Encode wrote, with the address at which they stay."""
    return [
        one.manifest.model_copy(update={"source": one.source, "folder": _folder(one.uri)})
        for one in given_shards.read(context.spec)
        if isinstance(one.manifest, Manifest)
    ]


def _folder(uri: str) -> str:
    """The folder of a manifest as an address, which means the same from everywhere."""
    return Storage(uri.rpartition("/")[0] or ".").uri()


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
    storage, prepared = context.storage, context.upstream.get(Stage.PREPARE, "")
    fraction = context.spec.data.validation.fraction
    foreign = _foreign(context)
    every_part: list[tuple[str, str | int]] = []
    for s in context.spec.data.sources:
        if s.documents:
            every_part += [(s.name, path) for path in part_paths(storage, prepared, s.name)]
        elif s.name in foreign:
            every_part += [(s.name, number) for number in range(len(foreign[s.name][1].manifest.shards))]
    encodings: list[tuple[str, Encoding | ArrayPiece]] = []
    bounds = dict[str, int]()
    tokenizer_folder = layout.tokenizer(context.upstream[Stage.TOKENIZER])
    for name, part in share.of(every_part):
        context.check_stopping()
        if name not in bounds:
            texts = given_shards.keys(foreign[name][1]) if name in foreign else source_texts(storage, prepared, name)
            bounds[name] = validation_bound(texts, fraction)
        pieces = f"{layout.shards(context.fingerprint, name)}/pieces"
        if isinstance(part, int):
            one, target = foreign[name][0], f"{pieces}/{part:06d}"
            member = given_shards.token_member(one)[0]
            encodings.append((name, ArrayPiece(storage, tokenizer_folder, target, one.uri, part, member, bounds[name])))
            continue
        encodings.extend(
            (name, Encoding(storage, tokenizer_folder, piece, f"{pieces}/{piece.name}", bounds[name]))
            for piece in divide(storage, part)
        )
    done = defaultdict[str, list[tuple[str, PieceCounts]]](list)
    tokens = encoded = 0
    total = sum(encoding.bytes for _, encoding in encodings)
    results = ordered_map(
        _encode_one,
        (encoding for _, encoding in encodings),
        processes(context, len(encodings), total),
        context,
    )
    for (name, encoding), counts in zip(encodings, results, strict=True):
        done[name].append((encoding.target, counts))
        tokens += counts.train.tokens + counts.validation.tokens
        encoded += encoding.bytes
        context.progress.update("encode", encoded, total, "bytes", tokens=tokens)
    return [
        _Source(s.name, layout.shards(context.fingerprint, s.name), bounds.get(s.name, 0), tuple(done[s.name]))
        for s in context.spec.data.sources
        if s.documents or s.name in foreign
    ]


def _encode_one(encoding: Encoding | ArrayPiece) -> PieceCounts:
    return encode_arrays(encoding) if isinstance(encoding, ArrayPiece) else encode_piece(encoding)


def _foreign(context: StageContext) -> dict[str, tuple[Given, SampleShards]]:
    """Arrays of tokens that others wrote, by source. UserError for given shards of any kind that do not fit the job."""
    loaded, found = tokenizer.load(context), dict[str, tuple[Given, SampleShards]]()
    for one in given_shards.read(context.spec):
        given_shards.check(one, context.spec, loaded)
        if isinstance(one.manifest, SampleManifest):
            found[one.source] = one, SampleShards(one.uri, context.spec.storage.endpoint_url, one.where)
    return found


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
        processes(context, tokens // TOKENS_PER_PACKER, 2 * tokens),  # of two bytes each, or of four
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


def _result(
    sources: Sequence[_Source], manifests: Sequence[Manifest], elsewhere: Sequence[Manifest], fraction: float
) -> StageResult:
    flows = {
        m.source: Flow(
            documents_in=m.train.documents + m.validation.documents,
            bytes_in=m.train.text_bytes + m.validation.text_bytes,
            documents_out=m.train.documents + m.validation.documents,
            bytes_out=m.train.text_bytes + m.validation.text_bytes,
        )
        for m in manifests
    }
    total = Flow.total(flows.values())
    every = [*manifests, *elsewhere]
    tokens = sum(m.train.tokens for m in every)
    held_out = sum(m.validation.documents for m in every)
    small = [source.name for source in sources if source.bound > fraction_bound(fraction)]
    message = (
        f"{counted(tokens, 'token')} in {counted(sum(m.train.samples for m in every), 'sequence')}; "
        f"{counted(held_out, 'document')} held out"
    )
    if small:
        message += f", of {', '.join(small)} one text, since validation.fraction {fraction:g} holds none of it out"
    if elsewhere:
        message += f"; {', '.join(m.source for m in elsewhere)} in place"
    details = {m.source: _details(s.counts("train").lengths, m) for s, m in zip(sources, manifests, strict=True)}
    details |= {m.source: _details([], m) for m in elsewhere}
    return StageResult(total, flows, message, {"bySource": details})


def _details(lengths: Sequence[int], manifest: Manifest) -> dict[str, object]:
    train, validation = manifest.train, manifest.validation
    width = manifest.sequence_length + 1
    return {
        "tokens": train.tokens,
        "samples": train.samples,
        "paddingTokens": train.samples * width - train.tokens,
        "shards": len(train.shards),
        "documents": train.documents,
        "bytesPerToken": _bytes_per_token(manifest),
        "validationTokens": validation.tokens,
        "validationSamples": validation.samples,
        "validationDocuments": validation.documents,
        "documentLengths": {str(1 << power): count for power, count in enumerate(lengths) if count},
    }


def _bytes_per_token(manifest: Manifest) -> float:
    """Of the training split; of the held-out one where the shards were given, and only that was decoded."""
    split = manifest.train if manifest.train.text_bytes else manifest.validation
    return split.text_bytes / split.tokens if split.tokens else 0.0
