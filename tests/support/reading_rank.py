"""A rank that reads an epoch from a store and trains nothing: `python -m support.reading_rank URI ENDPOINT FOLDER RANK WORLD`.

It writes a line of JSON once it has read everything, and stays, as ranks that train together do, until its input ends.
Which ranks share a machine is for LOCAL_RANK and LOCAL_WORLD_SIZE to say, as under an agent.
"""

import json
import os
import sys
import zlib

from pretrain_api import layout
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.data import fetching
from pretrain_trainer.data.batches import GlobalBatches, unmade
from pretrain_trainer.data.order import Mixture, MixtureSource
from pretrain_trainer.data.patience import Patience
from pretrain_trainer.data.reader import SampleReader


def read(storage: Storage, folder: str, rank: int, world: int, batch: int) -> tuple[dict[int, int], SampleReader]:
    """The checksum of each sample of the rank by its position, and the reader as it is then."""
    manifest = Manifest.model_validate(storage.read_json(f"{folder}/{layout.MANIFEST}"))
    mixture = Mixture([MixtureSource(manifest.train.samples, 1.0, 1, manifest.samples_per_record)], 7)
    reader = SampleReader(storage, [(folder, manifest)])
    if reader._remote is not None:
        # A machine under load must not be taken for a slow store, of which the same is asked twice.
        reader._remote.patient._patience = Patience(least_hedge_seconds=3600)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    machine = range(rank - rank % local, rank - rank % local + local)
    found = dict[int, int]()
    batches = GlobalBatches(reader, mixture, batch, rank, world, 0, unmade, machine)
    batches._thread.start()
    steps = iter(batches)
    for _ in range(manifest.train.samples // batch):
        read = next(steps)
        found |= {g: zlib.crc32(row) for g, row in zip(read.positions.tolist(), read.samples.tokens, strict=True)}
    return found, reader


def main() -> None:
    """Read, tell, and wait."""
    uri, endpoint, folder, rank, world, batch = sys.argv[1:]
    fetching._PATIENCE_WITH_OTHERS_SECONDS = 3600.0
    found, reader = read(Storage(uri, endpoint), folder, int(rank), int(world), int(batch))
    assert reader.counts is not None
    print(json.dumps({"read": found, "faults": reader.counts.faults}), flush=True)
    sys.stdin.read()
    reader.close()


if __name__ == "__main__":
    main()
