"""Shards that others wrote: the manifest of a set of WebDataset tars and the index beside each tar.

`pretrain index` writes both; the files that train, and `pretrain data`, read them. A record is what webdataset calls a
sample: the neighbouring members of one base name, told apart by what follows the first dot of the file name. Token
shards of the Encode stage have a manifest of their own (pretrain_api.shards); `kind` tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from pretrain_api.shards import check_names

if TYPE_CHECKING:
    import numpy as np

KEY = "key"
SAMPLES = "samples"
MEMBER_FIELDS = (("offset", "<u8"), ("length", "<u8"), ("crc32c", "<u4"))
"""Of each member; offset 0: the record has no such member. A member that is an array has `values` (<u8) as well."""
VALUES = ("values", "<u8")
INDEX_SUFFIX = ".idx"

Kind = Literal["image", "text", "json", "array", "other"]

_KINDS: Mapping[Kind, tuple[str, ...]] = {
    "image": ("jpg", "jpeg", "png", "webp"),
    "text": ("txt", "text"),
    "json": ("json",),
    "array": ("npy",),
}


def kind_of(member: str) -> Kind:
    """What a member is, by the last part of its name: `seg.png` is an image."""
    last = member.rpartition(".")[2]
    return next((kind for kind, endings in _KINDS.items() if last in endings), "other")


def index_dtype(longest_key: int, members: Iterable[str]) -> np.dtype[np.void]:
    """The dtype of an index row: the record's key in UTF-8, its samples, and three or four fields of each member."""
    import numpy as np

    fields: list[tuple[str, str]] = [(KEY, f"S{max(1, longest_key)}"), (SAMPLES, "<u4")]
    for member in members:
        of_member = (*MEMBER_FIELDS, VALUES) if kind_of(member) == "array" else MEMBER_FIELDS
        fields += [(f"{member}.{name}", form) for name, form in of_member]
    return np.dtype(fields)


class ArrayFormat(BaseModel):
    """What the arrays of a member have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    """NumPy's short name, such as `<u2`; empty where the arrays differ."""
    dimensions: int
    """-1 where the arrays differ."""
    width: int = 0
    """Columns of two-dimensional arrays; 0 where they differ, and for others."""
    values: int = 0
    """In all arrays together."""
    largest: int = 0
    """The greatest value of arrays of unsigned integers."""

    def joined(self, other: ArrayFormat) -> ArrayFormat:
        """What both have in common."""
        return ArrayFormat(
            dtype=self.dtype if self.dtype == other.dtype else "",
            dimensions=self.dimensions if self.dimensions == other.dimensions else -1,
            width=self.width if self.width == other.width else 0,
            values=self.values + other.values,
            largest=max(self.largest, other.largest),
        )


class Member(BaseModel):
    """The members of one name, over the records of a shard or of all shards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    records: int
    """That have it."""
    bytes: int
    array: ArrayFormat | None = None

    def joined(self, other: Member) -> Member:
        """Both together."""
        array = self.array.joined(other.array) if self.array and other.array else self.array or other.array
        return Member(kind=self.kind, records=self.records + other.records, bytes=self.bytes + other.bytes, array=array)


class SampleShard(BaseModel):
    """One tar."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Path of the tar relative to the manifest's folder, or its address where it lies elsewhere."""
    index: str
    """Path of the index relative to the manifest's folder."""
    bytes: int
    etag: str = ""
    """The store's tag of the object as it was indexed; empty where the store has none."""
    modified: str = ""
    """When the file was modified last, as its file system tells it, where there is no tag. Says that a shard need not
    be indexed again; a copy has another, and is no other shard for that."""
    sha256: str
    records: int
    samples: int
    """Rows of two-dimensional arrays of unsigned integers; of other records, one each."""
    skipped: int
    """Files without a dot in their name, or below a folder `__like_this__`, which webdataset passes over."""
    members: dict[str, Member]

    @model_validator(mode="after")
    def _has_kinds(self) -> SampleShard:
        for name, member in self.members.items():
            if member.kind != (kind := kind_of(name)):
                raise ValueError(f"member {name} is of kind {kind}, not {member.kind}")
        return self


class SampleManifest(BaseModel):
    """`manifest.json` of shards that others wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["samples"] = "samples"
    version: Literal[1] = 1
    tokenizer_sha256: str = ""
    """Of the tokenizer.json that the tokens belong to, where whoever indexed them named it."""
    records: int
    samples: int
    bytes: int
    members: dict[str, Member]
    shards: list[SampleShard]

    @model_validator(mode="after")
    def _adds_up(self) -> SampleManifest:
        for what in ("records", "samples", "bytes"):
            if (total := sum(getattr(shard, what) for shard in self.shards)) != getattr(self, what):
                raise ValueError(f"the {what} of its shards are {total}, not {getattr(self, what)}")
        check_names(shard.name for shard in self.shards)
        check_names(shard.index for shard in self.shards)
        together = joined(shard.members for shard in self.shards)
        for name in sorted({*together, *self.members}):
            if together.get(name) != self.members.get(name):
                raise ValueError(f"what it says of all members {name} is not what it says of them shard by shard")
        return self


def joined(parts: Iterable[Mapping[str, Member]]) -> dict[str, Member]:
    """The members of all parts together, by name."""
    found: dict[str, Member] = {}
    for part in parts:
        for name, member in part.items():
            found[name] = found[name].joined(member) if name in found else member
    return dict(sorted(found.items()))
