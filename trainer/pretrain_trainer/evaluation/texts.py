"""The held-out texts that baselines are measured on and prompts are taken from, read with bounded memory."""

from collections.abc import Iterator

import pyarrow.parquet as pq

from pretrain_api.storage import Storage

_BATCH_DOCUMENTS = 256


def validation_texts(storage: Storage, shards: str) -> Iterator[str]:
    """The held-out documents of a source in the order in which they were encoded; `shards` is the source's folder."""
    with storage.fs.open(storage.path(f"{shards}/validation/documents.parquet"), "rb") as file:
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_DOCUMENTS, columns=["text"]):
            yield from batch.column("text").to_pylist()
