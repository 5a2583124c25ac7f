"""Token streams to shards: which tokens stand in which shard, and writing one shard of them.

The streams of a split are one long line of tokens; shard and record boundaries are places on that line, so a shard's
bytes depend on the streams alone and shards can be written in any order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pretrain_api.shards import SHARD_NAME, Shard
from pretrain_api.storage import Storage
from pretrain_trainer.data.shards import (
    ShardWriter,
    Tokens,
    described,
    publish_index,
    samples_per_record,
    token_dtype,
)
from pretrain_trainer.data.token_streams import read_stream


@dataclass(frozen=True)
class StreamPlace:
    """Where a piece's stream lies on the line of its split."""

    target: str
    begin: int
    end: int


@dataclass(frozen=True)
class Packing:
    """All that one process needs to write a shard."""

    storage: Storage
    folder: str
    """The source's folder."""
    prefix: str
    """Of the split's files below the folder: "" or "validation/"."""
    split: str
    number: int
    begin: int
    """First token on the split's line."""
    end: int
    """Behind the last one."""
    streams: tuple[StreamPlace, ...]
    """Those that reach into the shard, in order."""
    sequence_length: int
    vocab_size: int
    padding: int

    @property
    def note(self) -> str:
        """Path of the note that says that the shard is complete."""
        return f"{self.folder}/pieces/{self.split}-{self.number:06d}.shard.json"


def plan(
    storage: Storage,
    folder: str,
    split: str,
    streams: Sequence[tuple[str, int]],
    sequence_length: int,
    vocab_size: int,
    padding: int,
    shard_bytes: int,
) -> list[Packing]:
    """The shards of a split, given the pieces and their numbers of tokens in the order of the documents."""
    dtype = token_dtype(vocab_size)
    record_tokens = samples_per_record(sequence_length, dtype) * (sequence_length + 1)
    shard_tokens = max(1, shard_bytes // (record_tokens * dtype.itemsize)) * record_tokens
    ends = np.cumsum([tokens for _, tokens in streams], dtype=np.int64)
    places = [
        StreamPlace(target, int(end) - tokens, int(end)) for (target, tokens), end in zip(streams, ends, strict=True)
    ]
    total = int(ends[-1]) if len(ends) else 0
    packings = []
    for number, begin in enumerate(range(0, total, shard_tokens)):
        end = min(begin + shard_tokens, total)
        # Streams lie in order, so the ones that reach into [begin, end) are neighbours.
        first = int(np.searchsorted(ends, begin, side="right"))
        last = int(np.searchsorted(ends, end, side="left")) + 1
        packings.append(
            Packing(
                storage,
                folder,
                "" if split == "train" else "validation/",
                split,
                number,
                begin,
                end,
                tuple(place for place in places[first:last] if place.end > place.begin),
                sequence_length,
                vocab_size,
                padding,
            )
        )
    return packings


def write_shard(packing: Packing) -> Shard:
    """Write a shard and its index, unless that was done before, and return the manifest's line on it."""
    storage = packing.storage
    if storage.exists(packing.note):
        return Shard.model_validate(storage.read_json(packing.note))
    width = packing.sequence_length + 1
    dtype = token_dtype(packing.vocab_size)
    record_tokens = samples_per_record(packing.sequence_length, dtype) * width
    with storage.create(f"{packing.folder}/{packing.prefix}{SHARD_NAME.format(packing.number)}") as file:
        writer = ShardWriter(file)
        for place, tokens, documents in _records(packing, record_tokens):
            valid = len(tokens)
            padded = np.pad(tokens, (0, -valid % width), constant_values=packing.padding)
            writer.write(place // record_tokens, padded.reshape(-1, width).astype(dtype), documents, valid)
        index, size, sha256 = writer.close()
    publish_index(storage, f"{packing.folder}/{packing.prefix}".rstrip("/"), packing.number, index)
    shard = described(packing.prefix, packing.number, index, size, sha256)
    storage.write_json(packing.note, shard.model_dump())
    return shard


def _records(packing: Packing, record_tokens: int) -> Iterator[tuple[int, Tokens, npt.NDArray[np.uint32]]]:
    """Place on the line, tokens and documents' offsets of each record; one stream is in memory at a time."""
    place = packing.begin
    tokens_parts: list[Tokens] = []
    documents_parts: list[npt.NDArray[np.int64]] = []
    held = 0
    for stream in packing.streams:
        tokens, documents = read_stream(packing.storage, stream.target, packing.split)
        documents += stream.begin
        begin = max(stream.begin, packing.begin)
        while begin < min(stream.end, packing.end):
            end = min(stream.end, packing.end, begin + record_tokens - held)
            tokens_parts.append(tokens[begin - stream.begin : end - stream.begin])
            first, last = np.searchsorted(documents, (begin, end))
            documents_parts.append(documents[first:last])
            held += end - begin
            begin = end
            if held == record_tokens or begin == packing.end:
                offsets = (np.concatenate(documents_parts) - place).astype(np.uint32)
                yield place, np.concatenate(tokens_parts), offsets
                place += held
                tokens_parts, documents_parts, held = [], [], 0
