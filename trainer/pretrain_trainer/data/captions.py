"""A sample of the captions that images of given shards are trained on, for a tokenizer. No image is read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pretrain_trainer.data.foreign import DamagedRecord
from pretrain_trainer.data.image_splits import Divided
from pretrain_trainer.data.permutation import derive_keys, permute
from pretrain_trainer.documents import webdataset

MOST_CAPTIONS = 1 << 17
"""Of a source. Each takes a request; more teach a tokenizer nothing that these do not."""
_MOST_BYTES = 1 << 20
_REQUESTS = 32
"""Under way at once."""


def sample_captions(source: Divided, most_bytes: int) -> Iterator[str]:
    """Captions of a source that are not held out, about `most_bytes` of UTF-8 text and never more, in an order that is random
    and the same in every run. Records that are damaged or have none are passed by."""
    kept = np.setdiff1d(
        np.arange(len(source.shards), dtype=np.int64), np.union1d(source.left_out, source.held_out), assume_unique=True
    )
    places = np.arange(min(len(kept), MOST_CAPTIONS), dtype=np.int64)
    drawn = permute(places, np.full_like(places, len(kept)), np.broadcast_to(derive_keys(0), places.shape))
    taken = 0
    with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="fetch") as pool:
        for some in np.array_split(kept[drawn], max(1, -(-len(drawn) // (16 * _REQUESTS)))):
            for caption in pool.map(lambda record: _caption(source, record), some.tolist()):
                size = len(caption.encode())
                if taken + size > most_bytes:
                    return
                taken += size
                if caption:
                    yield caption


def _caption(source: Divided, record: int) -> str:
    """Empty where there is none."""
    try:
        sample = source.shards.members(record, source.wanted.captions)
    except DamagedRecord:
        return ""
    caption = webdataset.field(sample.members, (), source.caption, sample.key, _MOST_BYTES)
    return caption.strip() if isinstance(caption, str) else ""
