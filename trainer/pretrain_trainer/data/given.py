"""Shards that a job is given ready (spec.data.sources[].shards): read and held against the job before anything is made.

Token shards of another job's Encode stay where they are. Arrays of tokens in tars that others wrote are cut into
records of this job's by the Encode stage, since their sizes, their order and their documents' boundaries are their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pretrain_api.errors import UserError
from pretrain_api.samples import ArrayFormat, SampleManifest
from pretrain_api.shards import Manifest
from pretrain_api.types import PretrainJobSpec
from pretrain_trainer.data import manifest_file
from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.documents.faults import patiently
from pretrain_trainer.tokenizer import LoadedTokenizer

DTYPES = ("<u2", "<u4", "|u1")
"""Of arrays of tokens."""
_MEMBERS = ("tokens.npy", "input_ids.npy", "npy")
"""Which member holds the tokens, where a record has several arrays."""


@dataclass(frozen=True)
class Given:
    """A source's manifest, and where it was read."""

    source: str
    where: str
    """The field that names it."""
    uri: str
    sha256: str
    manifest: Manifest | SampleManifest


def read(spec: PretrainJobSpec) -> list[Given]:
    """The manifests that the job names, in the order of its sources. UserError for one that cannot be read."""
    found = []
    for number, source in enumerate(spec.data.sources):
        if source.shards:
            where = f"spec.data.sources[{number}].shards"
            file = patiently(partial(manifest_file.read, source.shards, spec.storage.endpoint_url, where))
            found.append(Given(source.name, where, source.shards, file.sha256, file.manifest))
    return found


def digest(given: Sequence[Given]) -> str:
    """Identity of what the job is given; empty where that is nothing."""
    listed = [(one.source, one.uri, one.sha256) for one in given]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest() if given else ""


def check(given: Given, spec: PretrainJobSpec, tokenizer: LoadedTokenizer) -> None:
    """Raise UserError unless the shards are those of the job's tokenizer, vocabulary and sequence length."""
    length, sha256 = spec.training.sequence_length, given.manifest.tokenizer_sha256
    if sha256 and sha256 != tokenizer.sha256:
        raise UserError(
            "tokenizer-mismatch",
            given.where,
            f"the tokens of {given.uri} were made by another tokenizer: its tokenizer.json has SHA-256 {sha256[:12]}..., that of "
            f"spec.tokenizer.uri {tokenizer.sha256[:12]}....",
            "Write the tokenizer that the shards were made with in spec.tokenizer.uri.",
        )
    if isinstance(given.manifest, Manifest):
        if given.manifest.sequence_length != length:
            raise _other_length(given, given.manifest.sequence_length, length)
        return
    _, array = token_member(given)
    if array.dimensions == 2 and array.width != length + 1:
        if not array.width:
            what = f"the arrays of {given.uri} have rows of different lengths."
            raise UserError("token-shards", given.where, what, "Save rows of one length, or flat arrays.")
        raise _other_length(given, array.width - 1, length)
    if array.largest >= tokenizer.vocab_size:
        raise outside_vocabulary(given.where, given.uri, array.largest, tokenizer.vocab_size)


def token_member(given: Given) -> tuple[str, ArrayFormat]:
    """The member with the tokens, and what its arrays have in common. UserError where there is none that can be."""
    assert isinstance(given.manifest, SampleManifest)
    arrays = {name: member.array for name, member in given.manifest.members.items() if member.array}
    if not arrays:
        raise UserError(
            "token-shards",
            given.where,
            f"the records of {given.uri} hold no arrays of tokens, but {', '.join(given.manifest.members)}.",
            "Write text and captions as documents: with the address of the tars; images train nothing yet.",
        )
    name = next(iter(arrays)) if len(arrays) == 1 else next((n for n in _MEMBERS if n in arrays), None)
    if name is None:
        what = f"the records of {given.uri} hold several arrays: {', '.join(arrays)}."
        raise UserError("token-shards", given.where, what, f"Call the one with the tokens {_MEMBERS[0]}.")
    array = arrays[name]
    if array.dtype not in DTYPES:
        dtype = np.dtype(array.dtype).name if array.dtype else "of several types"
        raise UserError(
            "token-shards",
            given.where,
            f"the arrays {name} of {given.uri} are {dtype}, not uint16 or uint32.",
            "Save tokens with array.astype(numpy.uint16), or uint32 for more than 65,536 entries.",
        )
    if array.dimensions not in (1, 2):
        what = f"the arrays {name} of {given.uri} have neither one nor two dimensions throughout."
        raise UserError("token-shards", given.where, what, "Save flat arrays, or rows of sequenceLength + 1 tokens.")
    if (missing := given.manifest.records - given.manifest.members[name].records) > 0:
        what = f"{missing} of the {given.manifest.records} records of {given.uri} have no {name}."
        raise UserError("token-shards", given.where, what, "Leave these records out, or give them their tokens.")
    return name, array


def keys(shards: SampleShards) -> Iterator[str]:
    """What decides which records are held out: the name of each with that of its shard."""
    for number, shard in enumerate(shards.manifest.shards):
        for key in shards.index(number)["key"].tolist():
            yield held_out_key(shard.index, key.decode(errors="replace"))


def held_out_key(index: str, key: str) -> str:
    """The key of a record; `index` is the path of its shard's index, which is the same wherever the tars lie."""
    return f"{index}/{key}"


def outside_vocabulary(where: str, what: str, token: int, vocab_size: int) -> UserError:
    """The error for `what` holds a token that is none of the vocabulary."""
    return UserError(
        "token-outside-vocabulary",
        where,
        f"{what} has the token {token}, but the vocabulary ends at {vocab_size - 1}.",
        "Write the tokenizer that the tokens were made with in spec.tokenizer.uri.",
    )


def _other_length(given: Given, found: int, wanted: int) -> UserError:
    return UserError(
        "sequence-length-mismatch",
        given.where,
        f"the sequences of {given.uri} are of {found} tokens; spec.training.sequenceLength is {wanted}.",
        f"Write sequenceLength: {found}, or shards of the other length.",
    )
