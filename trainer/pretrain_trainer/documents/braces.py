"""Brace patterns as webdataset's users write them: `shard-{000000..000099}.tar`, `{a,b}.tar`."""

import math
import re

import braceexpand

from pretrain_api.errors import UserError

MOST_ADDRESSES = 1_000_000
_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)[^{}]*\}")
_RANGE_OR_LIST = re.compile(r"\{[^{}]*(\.\.|,)[^{}]*\}")


def expand(pattern: str, where: str) -> list[str]:
    """The addresses that a pattern stands for, in its order; the pattern itself where it has no range or list in braces.

    UserError for braces that are not closed, and for a range of more than MOST_ADDRESSES.
    """
    if not _RANGE_OR_LIST.search(pattern):
        return [pattern]
    # Counted first: the library would make them all.
    if math.prod(abs(int(last) - int(first)) + 1 for first, last in _RANGE.findall(pattern)) > MOST_ADDRESSES:
        what = f"{pattern} stands for more than {MOST_ADDRESSES:,} addresses."
        raise UserError("braces", where, what, "Write a smaller range in the braces, or a glob.")
    try:
        return list(braceexpand.braceexpand(pattern))
    except ValueError as error:
        what = f"the braces of {pattern} are not balanced."
        raise UserError("braces", where, what, "Write them as in shard-{000000..000099}.tar.") from error
