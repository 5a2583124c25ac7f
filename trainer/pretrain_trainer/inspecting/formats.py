"""What the arrays of a shard are, held against what its manifest says of them: training trusts the manifest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from pretrain_api.errors import UserError
from pretrain_api.samples import ArrayFormat, Member, kind_of
from pretrain_trainer.indexing import arrays


def add(found: dict[str, ArrayFormat], member: str, content: bytes) -> None:
    """Join the array of one more record to those of the same member. What is no array, or a broken one, adds nothing."""
    if kind_of(member) == "array":
        with contextlib.suppress(UserError):
            this = arrays.describe(content, member)
            found[member] = found[member].joined(this) if member in found else this


def differences(found: Mapping[str, ArrayFormat], told: Mapping[str, Member]) -> Iterator[tuple[str, str]]:
    """Member and fault where the arrays are others than the manifest tells of the shard's members."""
    for name, member in told.items():
        is_, said = found.get(name), member.array
        if (is_ is None) != (said is None):
            yield name, f"{'arrays' if is_ else 'no arrays'} where the manifest says {'arrays' if said else 'none'}"
        elif is_ and said:
            for field in ArrayFormat.model_fields:
                if (one := getattr(is_, field)) != (other := getattr(said, field)):
                    yield name, f"{field} of its arrays is {one!r} where the manifest says {other!r}"
