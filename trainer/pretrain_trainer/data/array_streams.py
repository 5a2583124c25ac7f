"""Arrays of tokens to token streams: one tar that others wrote, left in storage as Encode leaves a piece of documents."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.data.foreign import Sample, SampleShards
from pretrain_trainer.data.given import DTYPES, held_out_key, outside_vocabulary
from pretrain_trainer.data.npy import array_of
from pretrain_trainer.data.shards import Tokens, token_dtype
from pretrain_trainer.data.split import split_key
from pretrain_trainer.data.token_streams import (
    SPLITS,
    PieceCounts,
    StreamCounts,
    counts_path,
    documents_path,
    stream_path,
)
from pretrain_trainer.documents.parts import SCHEMA
from pretrain_trainer.indexing.arrays import describe
from pretrain_trainer.indexing.names import shown
from pretrain_trainer.tokenizer import LoadedTokenizer, load_folder


@dataclass(frozen=True)
class ArrayPiece:
    """All that one process needs to make streams of one tar."""

    storage: Storage
    tokenizer_folder: str
    target: str
    """Path of the streams without suffix."""
    manifest_uri: str
    shard: int
    member: str
    validation_bound: int

    @property
    def bytes(self) -> int:
        """About what is to be read."""
        return _opened(self.manifest_uri, self.storage.endpoint_url).manifest.shards[self.shard].bytes


def encode_arrays(piece: ArrayPiece) -> PieceCounts:
    """Make the streams of a tar, unless that was done before, and return its counts.

    A record is held out as a whole, by its name. Documents begin with a record and behind each end of text. How many bytes
    of text there are is known only of what is held out, which is decoded.
    """
    storage, target = piece.storage, piece.target
    if storage.exists(counts_path(target)):
        return PieceCounts.model_validate(storage.read_json(counts_path(target)))
    tokenizer = load_folder(storage, piece.tokenizer_folder)
    shards = _opened(piece.manifest_uri, storage.endpoint_url)
    index = shards.manifest.shards[piece.shard].index
    parts: dict[str, list[Tokens]] = {split: [] for split in SPLITS}
    for sample in shards.scan(piece.shard):
        is_held_out = split_key(held_out_key(index, sample.key)) < piece.validation_bound
        parts[SPLITS[is_held_out]].append(_tokens(sample, piece.member, tokenizer.vocab_size))
    counts = {}
    for split, arrays in parts.items():
        tokens, starts = _stream(arrays, tokenizer)
        texts = _texts(tokens, starts, tokenizer) if split == "validation" else []
        if len(starts):
            with storage.create(stream_path(target, split)) as file:
                np.save(file, tokens, allow_pickle=False)
                np.save(file, starts, allow_pickle=False)
        if texts:
            with storage.create(documents_path(target)) as file:
                pq.write_table(_table(texts, shards.address(piece.shard), target), file, compression="zstd")
        counts[split] = _counts(tokens, starts, sum(len(text.encode()) for text in texts))
    found = PieceCounts(train=counts["train"], validation=counts["validation"])
    storage.write_json(counts_path(target), found.model_dump())
    return found


@functools.lru_cache(maxsize=4)
def _opened(uri: str, endpoint_url: str) -> SampleShards:
    return SampleShards(uri, endpoint_url)


def _tokens(sample: Sample, member: str, vocab_size: int) -> Tokens:
    """The tokens of a record, flat, in the dtype of the vocabulary. UserError for what are none of it: the manifest, which
    was held against the job, may say otherwise, and the smaller dtype would make other tokens of them."""
    where = f"{sample.shard}, record {sample.number} ({shown(sample.key)}), {shown(member)}"
    found = describe(sample.members[member], where)
    if found.dtype not in DTYPES:
        raise UserError(
            "token-shards",
            where,
            f"the array is {np.dtype(found.dtype).name}, not uint16 or uint32.",
            "Save tokens with array.astype(numpy.uint16), and index the tars again with `pretrain index`.",
        )
    if found.largest >= vocab_size:
        raise outside_vocabulary(where, "the array", found.largest, vocab_size)
    return array_of(sample.members[member]).reshape(-1).astype(token_dtype(vocab_size))


def _stream(arrays: list[Tokens], tokenizer: LoadedTokenizer) -> tuple[Tokens, npt.NDArray[np.int64]]:
    """The tokens of records, one after the other, and where documents begin."""
    if not sum(map(len, arrays)):
        return np.empty(0, token_dtype(tokenizer.vocab_size)), np.empty(0, np.int64)
    tokens = np.concatenate(arrays)
    ends = np.flatnonzero(tokens == tokenizer.end_of_text) + 1
    records = np.cumsum([0, *(len(array) for array in arrays if len(array))])
    starts = np.unique(np.concatenate([records, ends]))
    return tokens, starts[starts < len(tokens)].astype(np.int64)


def _texts(tokens: Tokens, starts: npt.NDArray[np.int64], tokenizer: LoadedTokenizer) -> list[str]:
    """The documents as text, without their end of text."""
    ids = [document[document != tokenizer.end_of_text].tolist() for document in np.split(tokens, starts[1:])]
    decode: Callable[..., list[str]] = tokenizer.tokenizer.decode_batch
    return decode(ids, skip_special_tokens=False) if len(tokens) else []


def _table(texts: list[str], url: str, target: str) -> pa.Table:
    name = target.rpartition("/")[2]
    ids = [f"{name}/{number}" for number in range(len(texts))]
    return pa.table([ids, texts, [url] * len(texts), [""] * len(texts)], schema=SCHEMA)


def _counts(tokens: Tokens, starts: npt.NDArray[np.int64], text_bytes: int) -> StreamCounts:
    if not len(starts):
        return StreamCounts()
    powers = np.frexp(np.diff(np.append(starts, len(tokens))).astype(np.float64))[1] - 1
    return StreamCounts(
        tokens=len(tokens),
        documents=len(starts),
        text_bytes=text_bytes,
        lengths=np.bincount(powers, minlength=32).tolist(),
    )
