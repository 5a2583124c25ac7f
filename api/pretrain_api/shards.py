"""Token shards: the manifest of a source and the index beside each tar.

A shard `000000.tar` is a plain WebDataset tar; each record is two members, `{:08d}.tokens.npy` (a block of whole
sequences, shape [sequences, sequenceLength + 1], uint16 or uint32; token i of a sequence predicts token i + 1) and
`{:08d}.documents.npy` (uint32, sorted: offsets into the flattened block at which a document begins). Records hold the
same number of sequences, except a split's last one. The block of the last record is filled up to whole sequences
with the padding token; only its first `tokens` tokens count.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pretrain_api.problems import is_encodable

if TYPE_CHECKING:
    import numpy as np

INDEX_FIELDS = (
    ("tokens_offset", "<u8"),
    ("tokens_length", "<u8"),
    ("tokens_crc32c", "<u4"),
    ("documents_offset", "<u8"),
    ("documents_length", "<u8"),
    ("documents_crc32c", "<u4"),
    ("samples", "<u4"),
    ("tokens", "<u8"),
)
"""`.idx`: a NumPy array file of one such row per record. Offsets and lengths are the members' payloads in the tar, in
bytes; `samples` counts sequences, `tokens` those tokens that are not padding."""

SHARD_NAME = "{:06d}.tar"
INDEX_NAME = "{:06d}.idx"


def index_dtype() -> np.dtype[np.void]:
    """The dtype of an index row."""
    import numpy as np

    return np.dtype(list(INDEX_FIELDS))


class Shard(BaseModel):
    """One tar."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Path of the tar relative to the manifest's folder; the index has the same stem."""
    bytes: int
    sha256: str
    records: int
    samples: int
    tokens: int


class Split(BaseModel):
    """The training or the validation part of a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: list[Shard] = []
    samples: int = 0
    tokens: int = 0
    documents: int = 0
    text_bytes: int = 0
    """UTF-8 bytes of the documents' text, for bits per byte."""

    @model_validator(mode="after")
    def _adds_up(self) -> Split:
        if (total := sum(shard.samples for shard in self.shards)) != self.samples:
            raise ValueError(f"the samples of its shards are {total}, not {self.samples}")
        return self


class Manifest(BaseModel):
    """`manifest.json` of a source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    fingerprint: str
    """Identity of the Encode stage that wrote it."""
    source: str
    sequence_length: int
    samples_per_record: Annotated[int, Field(ge=1)]
    dtype: Literal["uint16", "uint32"]
    vocab_size: int
    tokenizer_sha256: str
    """SHA-256 of tokenizer.json."""
    end_of_text: int
    padding: int
    train: Split
    validation: Split
    folder: Annotated[str, Field(exclude_if=lambda value: not value)] = ""
    """Address of the folder with the shards, where they are another job's and lie there. Not written where it is empty,
    so that the manifests of a job's own shards stay what they were."""

    @model_validator(mode="after")
    def _has_each_shard_once(self) -> Manifest:
        check_names(shard.name for split in (self.train, self.validation) for shard in split.shards)
        return self

    @model_validator(mode="after")
    def _has_full_records(self) -> Manifest:
        """All records of a split but its last are full: where a sample lies is computed from that."""
        for split in (self.train, self.validation):
            records = sum(shard.records for shard in split.shards)
            if records != -(-split.samples // self.samples_per_record):
                raise ValueError(
                    f"{split.samples} samples do not fill {records} records of {self.samples_per_record} samples"
                )
        return self


def check_names(names: Iterable[str]) -> None:
    """Raise ValueError for a name that no file can have, and for one that comes twice: such a shard would be trained on
    twice."""
    seen = set[str]()
    for name in names:
        if "\0" in name or not is_encodable(name):
            raise ValueError(f"{name!r} is the name of no file: it holds a zero byte, or is not UTF-8")
        if name in seen:
            raise ValueError(f"{name} stands in it twice")
        seen.add(name)
