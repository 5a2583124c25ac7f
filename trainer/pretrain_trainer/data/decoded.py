"""Text of token shards, where no documents lie beside them: tokens decoded, cut where documents begin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.tokenizer import LoadedTokenizer

_SAMPLES_TOGETHER = 64


def training_texts(
    storage: Storage, folder: str, manifest: Manifest, tokenizer: LoadedTokenizer, most_bytes: int
) -> Iterator[str]:
    """About `most_bytes` of UTF-8 text of a source's training split, and never more, from places spread over it.

    A document that lies across two samples is two texts.
    """
    samples, width, given = manifest.train.samples, manifest.sequence_length + 1, 0
    # A token is a byte of text at least, nearly always; so many samples are enough.
    wanted = min(samples, max(1, most_bytes // width))
    index = np.arange(wanted, dtype=np.int64) * samples // wanted
    with contextlib.closing(SampleReader(storage, [(folder, manifest)])) as reader:
        for begin in range(0, wanted, _SAMPLES_TOGETHER):
            some = index[begin : begin + _SAMPLES_TOGETHER]
            read = reader.read(np.zeros(len(some), dtype=np.int64), some)
            for tokens, ids, valid in zip(read.tokens, read.document_ids, read.valid, strict=True):
                for document in np.unique(ids[valid]):
                    own = tokens[valid & (ids == document)]
                    text = tokenizer.tokenizer.decode(
                        own[own != tokenizer.end_of_text].tolist(), skip_special_tokens=False
                    )
                    given += len(text.encode())
                    if given > most_bytes:
                        return
                    yield text
