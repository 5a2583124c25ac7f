"""The held-out texts that baselines are measured on and prompts are taken from, read with bounded memory."""

from collections.abc import Iterator

import pyarrow.parquet as pq

from pretrain_api.storage import Storage

_BATCH_DOCUMENTS = 16
_OPENING_CHARACTERS = 80


def validation_texts(storage: Storage, shards: str) -> Iterator[str]:
    """The held-out documents of a source in the order in which they were encoded; `shards` is the source's folder, as
    `Storage.at` takes it."""
    storage, shards = storage.at(shards)
    with storage.fs.open(storage.path(f"{shards}/validation/documents.parquet"), "rb") as file:
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_DOCUMENTS, columns=["text"]):
            yield from batch.column("text").to_pylist()


def opening(text: str) -> str:
    """The beginning of a document as a prompt, cut between words where that leaves enough of it."""
    cut = text.strip()[:_OPENING_CHARACTERS]
    shorter = cut.rsplit(None, 1)[0] if cut.split() else cut
    return shorter if len(shorter) > _OPENING_CHARACTERS // 2 else cut
