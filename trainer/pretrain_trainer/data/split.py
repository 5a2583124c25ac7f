"""Which documents are held out for validation, given their text alone. No counting, no files."""

import xxhash


def split_key(text: str) -> int:
    """A document's place in [0, 2**64): XXH3 of its UTF-8 text with seed 0."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), 0)


def is_validation(text: str, fraction: float) -> bool:
    """Whether a document is held out: its key lies in the lowest `fraction` of the hash's range.

    The text decides, so copies of a document fall on the same side in every source and every run.
    """
    return split_key(text) / 2**64 < fraction
