"""A weighted sample of the training text: which documents of which source, spread evenly and the same in every run."""

from collections.abc import Iterator, Mapping

from pretrain_api.storage import Storage
from pretrain_trainer.data.documents import RowGroups, group_bytes, part_paths, texts
from pretrain_trainer.data.split import is_held_out

PART_CHARACTERS = 1 << 18
"""Longest text of a sample."""


def divide_bytes(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Bytes of the sample for each source, in proportion to the weights."""
    whole = sum(weights.values())
    return {name: int(total * weight / whole) for name, weight in weights.items()}


def _whole_texts(storage: Storage, fingerprint: str, source: str, most_bytes: int, bound: int) -> Iterator[str]:
    """The documents of `sample_texts`, each as a whole."""
    groups = [
        RowGroups(path, number, number + 1, size)
        for path in part_paths(storage, fingerprint, source)
        for number, size in enumerate(group_bytes(storage, path))
    ]
    total = sum(group.bytes for group in groups)
    if not total or not most_bytes:
        return
    every = max(1, total // (4 * most_bytes))
    passed = taken = 0
    for first in range(0, len(groups), every):
        stands_for = sum(group.bytes for group in groups[first : first + every])
        read = list(texts(storage, groups[first]))
        lengths = [len(text.encode()) for text in read]
        seen, whole = 0, max(1, sum(lengths))
        for text, length in zip(read, lengths, strict=True):
            seen += length
            due = most_bytes * (passed + stands_for * seen / whole) / total
            if taken >= due or is_held_out(text, bound):
                continue
            if taken + length > most_bytes:
                yield text.encode()[: most_bytes - taken].decode(errors="ignore")
                return
            taken += length
            yield text
        passed += stands_for


def sample_texts(storage: Storage, fingerprint: str, source: str, most_bytes: int, bound: int) -> Iterator[str]:
    """Documents of a source that are not held out, about `most_bytes` of UTF-8 text and never more.

    Every k-th row group is read, with k such that four times as much is read as is taken, and stands for those up to
    the next; of its documents one is taken whenever the taken bytes have fallen behind their share. The last one is cut to fit.
    Long documents come in parts, since tokenizers need some hundred bytes for each byte of a text.
    """
    for text in _whole_texts(storage, fingerprint, source, most_bytes, bound):
        for begin in range(0, len(text), PART_CHARACTERS):
            yield text[begin : begin + PART_CHARACTERS]
