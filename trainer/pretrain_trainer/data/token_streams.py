"""Documents to token streams: one piece of a source's documents, encoded in one process and left in storage.

A piece's streams are the same bytes in whatever process and however often they are made; the counts, written last, say
that they are complete. Cutting streams into sequences is the business of pretrain_trainer.data.packing.
"""

import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pretrain_api.storage import Storage
from pretrain_trainer.data.documents import RowGroups, read
from pretrain_trainer.data.segments import SEGMENT_CHARACTERS, segments
from pretrain_trainer.data.shards import Tokens, token_dtype
from pretrain_trainer.data.split import is_held_out
from pretrain_trainer.tokenizer import LoadedTokenizer, load_folder

BATCH_CHARACTERS = SEGMENT_CHARACTERS
"""Text that is given to the tokenizer at once. A longer one goes alone: so does each that is cut."""
SPLITS = ("train", "validation")


class StreamCounts(BaseModel):
    """What one split of a piece holds."""

    model_config = ConfigDict(frozen=True)

    tokens: int = 0
    """Ends of text included."""
    documents: int = 0
    text_bytes: int = 0
    lengths: list[int] = [0] * 32
    """Documents by length: entry i counts those of 2**i to 2**(i + 1) - 1 tokens, the end of text included."""


class PieceCounts(BaseModel):
    """`<piece>.json`, written when the piece's streams are complete."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    train: StreamCounts = StreamCounts()
    validation: StreamCounts = StreamCounts()


@dataclass(frozen=True)
class Encoding:
    """All that one process needs to encode a piece."""

    storage: Storage
    tokenizer_folder: str
    piece: RowGroups
    target: str
    """Path of the piece's streams without suffix."""
    validation_bound: int

    @property
    def bytes(self) -> int:
        """Of text."""
        return self.piece.bytes


def stream_path(target: str, split: str) -> str:
    """The tokens of one split of a piece and the offsets of its documents: two .npy arrays in one file."""
    return f"{target}.{split}.npy"


def documents_path(target: str) -> str:
    """The held-out documents of a piece, in the form of the prepared ones."""
    return f"{target}.validation.parquet"


def counts_path(target: str) -> str:
    """The counts of a piece."""
    return f"{target}.json"


def encode_piece(encoding: Encoding) -> PieceCounts:
    """Encode a piece, unless that was done before, and return its counts."""
    storage, target = encoding.storage, encoding.target
    if storage.exists(counts_path(target)):
        return PieceCounts.model_validate(storage.read_json(counts_path(target)))
    # One process per core runs this; the tokenizer's own threads would only get into each other's way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    loaded = load_folder(storage, encoding.tokenizer_folder)
    streams = {split: _Stream(loaded) for split in SPLITS}
    held_out: list[pa.RecordBatch] = []
    for batch in read(storage, encoding.piece):
        texts: list[str] = batch.column("text").to_pylist()
        sides = [is_held_out(text, encoding.validation_bound) for text in texts]
        streams["train"].add([text for text, side in zip(texts, sides, strict=True) if not side])
        if any(sides):
            streams["validation"].add([text for text, side in zip(texts, sides, strict=True) if side])
            held_out.append(batch.take(pa.array(np.flatnonzero(sides))))
    for split, stream in streams.items():
        if stream.documents:
            with storage.create(stream_path(target, split)) as file:
                stream.write(file)
    if held_out:
        with storage.create(documents_path(target)) as file:
            pq.write_table(pa.Table.from_batches(held_out), file, compression="zstd")
    counts = PieceCounts(train=streams["train"].counts(), validation=streams["validation"].counts())
    storage.write_json(counts_path(target), counts.model_dump())
    return counts


def read_stream(storage: Storage, target: str, split: str) -> tuple[Tokens, npt.NDArray[np.int64]]:
    """Tokens of one split of a piece, and the offsets at which its documents begin."""
    file = io.BytesIO(storage.read_bytes(stream_path(target, split)))
    return np.load(file, allow_pickle=False), np.load(file, allow_pickle=False)


def text_batches(texts: list[str]) -> Iterator[list[str]]:
    """The texts in batches of up to BATCH_CHARACTERS, longer ones alone."""
    batch, held = list[str](), 0
    for text in texts:
        if batch and held + len(text) > BATCH_CHARACTERS:
            yield batch
            batch, held = [], 0
        batch.append(text)
        held += len(text)
    if batch:
        yield batch


class _Stream:
    """Documents' tokens, one after the other, each followed by the end of text."""

    def __init__(self, loaded: LoadedTokenizer) -> None:
        self._tokenizer = loaded.tokenizer
        self._end_of_text = loaded.end_of_text
        self._dtype = token_dtype(loaded.vocab_size)
        self._tokens: list[Tokens] = []
        self._lengths: list[npt.NDArray[np.int64]] = []
        self.documents = 0
        self._text_bytes = 0

    def add(self, texts: list[str]) -> None:
        for batch in text_batches(texts):
            if len(batch[0]) > 2 * SEGMENT_CHARACTERS:
                parts = segments(batch[0], lambda part: self._ids([part])[0])
                length = sum(self._append(self._ids([part])) for part in parts)
                lengths = [length + self._append([[self._end_of_text]])]
            else:
                ids = self._ids(batch)
                for document in ids:
                    document.append(self._end_of_text)
                self._append(ids)
                lengths = [len(document) for document in ids]
            self._lengths.append(np.array(lengths, dtype=np.int64))
            self.documents += len(batch)
            self._text_bytes += sum(len(text.encode()) for text in batch)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def _append(self, ids: list[list[int]]) -> int:
        """Put tokens at the end of the stream; their number."""
        count = sum(map(len, ids))
        self._tokens.append(np.fromiter(itertools.chain.from_iterable(ids), dtype=self._dtype, count=count))
        return count

    def write(self, file: IO[bytes]) -> None:
        lengths = np.concatenate(self._lengths)
        np.save(file, np.concatenate(self._tokens), allow_pickle=False)
        np.save(file, np.cumsum(lengths) - lengths, allow_pickle=False)

    def counts(self) -> StreamCounts:
        if not self.documents:
            return StreamCounts()
        lengths = np.concatenate(self._lengths)
        powers = np.frexp(lengths.astype(np.float64))[1] - 1
        return StreamCounts(
            tokens=int(lengths.sum()),
            documents=self.documents,
            text_bytes=self._text_bytes,
            lengths=np.bincount(powers, minlength=32).tolist(),
        )
