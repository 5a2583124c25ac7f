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
    parts = {path: group_bytes(storage, path) for path in part_paths(storage, fingerprint, source)}
    total = sum(map(sum, parts.values()))
    if not total or not most_bytes:
        return
    every = max(1, total // (4 * most_bytes))
    number = seen = taken = 0
    for path, sizes in parts.items():
        for group, size in enumerate(sizes):
            number += 1
            if (number - 1) % every:
                continue
            for text in texts(storage, RowGroups(path, group, group + 1, size)):
                if is_held_out(text, bound):
                    continue
                length = len(text.encode())
                seen += length
                if taken * total >= seen * every * most_bytes:
                    continue
                if taken + length > most_bytes:
                    yield text.encode()[: most_bytes - taken].decode(errors="ignore")
                    return
                taken += length
                yield text


def sample_texts(storage: Storage, fingerprint: str, source: str, most_bytes: int, bound: int) -> Iterator[str]:
    """Documents of a source that are not held out, about `most_bytes` of UTF-8 text and never more.

    Every k-th row group is read, with k such that four times as much is read as is taken; of these documents one is
    taken whenever the taken bytes have fallen behind their share of the bytes seen. The last one is cut to fit.
    Long documents come in parts, since tokenizers need some hundred bytes for each byte of a text.
    """
    for text in _whole_texts(storage, fingerprint, source, most_bytes, bound):
        for begin in range(0, len(text), PART_CHARACTERS):
            yield text[begin : begin + PART_CHARACTERS]
