"""One contender in a process of its own: for each line on stdin that asks for so many seconds of batches, what it did.

Every contender hands over int32 tokens [samples, 2049]. Those with records give the 127 sequences of each as they lie;
the others pick single sequences in random order. Our batches have document ids, the loss mask and the ledger's digests
besides, and every record's checksum was compared once.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage

BATCH = 64
WIDTH = 2049


def of_manifest(root: Path) -> Manifest:
    return Manifest.model_validate(Storage(str(root)).read_json("web/manifest.json"))


def ours(root: Path) -> Iterator[int]:
    """The reader of the Train stage."""
    from pretrain_trainer.data.batches import GlobalBatches, unmade
    from pretrain_trainer.data.order import Mixture, MixtureSource
    from pretrain_trainer.data.reader import SampleReader

    manifest = of_manifest(root)
    mixture = Mixture([MixtureSource(manifest.train.samples, 1.0, None, manifest.samples_per_record)], 1)
    with GlobalBatches(
        SampleReader(Storage(str(root)), [("web", manifest)]), mixture, BATCH, 0, 1, 0, unmade
    ) as batches:
        for batch in batches:
            yield batch.samples.tokens.size


def memory_map(root: Path) -> Iterator[int]:
    """One flat array, sequences in random order: the least that anybody could do for batches."""
    flat = np.memmap(root / "flat.bin", dtype=np.uint16, mode="r").view(np.ndarray).reshape(-1, WIDTH)
    rng = np.random.default_rng(1)
    while True:
        order = rng.permutation(len(flat))
        for begin in range(0, len(order) - BATCH + 1, BATCH):
            yield flat[order[begin : begin + BATCH]].astype(np.int32).size


def memory_map_records(root: Path) -> Iterator[int]:
    """The same array, as many sequences as a record has at once."""
    per_record = of_manifest(root).samples_per_record
    flat = np.memmap(root / "flat.bin", dtype=np.uint16, mode="r").view(np.ndarray).reshape(-1, per_record, WIDTH)
    rng = np.random.default_rng(1)
    while True:
        for record in rng.permutation(len(flat)).tolist():
            yield flat[record].astype(np.int32).size


def records(root: Path) -> Iterator[int]:
    """Our shards, whole records in random order, and no more than that."""
    from pretrain_trainer.data.mapped import MappedBlocks
    from pretrain_trainer.data.quarantine import NOTHING_DAMAGED
    from pretrain_trainer.data.source import Source

    source = Source.of(Storage(str(root)), "web", of_manifest(root), "train")
    blocks, rng = MappedBlocks([source], NOTHING_DAMAGED), np.random.default_rng(1)
    while True:
        for record in rng.permutation(len(source.records)).tolist():
            yield blocks.get(0, [record])[0].tokens.astype(np.int32).size


def webdataset(root: Path) -> Iterator[int]:
    """The stock library on the same tars, decoded, records as they come."""
    import webdataset as wds

    urls = sorted(str(path) for path in (root / "web").glob("*.tar"))
    while True:
        for record in wds.WebDataset(urls, shardshuffle=len(urls), seed=1).decode():
            yield record["tokens.npy"].astype(np.int32).size


def mds(root: Path) -> Iterator[int]:
    """MosaicML Streaming, local and warm, shuffled by its default algorithm; a record is a sample."""
    from streaming import StreamingDataset

    dataset = StreamingDataset(local=str(root / "mds"), shuffle=True, batch_size=1)
    while True:
        for sample in dataset:
            yield sample["tokens"].astype(np.int32).size


def energon(root: Path) -> Iterator[int]:
    """Megatron Energon on the same tars, decoded, shuffled as in its quickstart; a record is a sample."""
    from megatron import energon as en

    @en.edataclass
    class Tokens(en.Sample):
        tokens: np.ndarray

    @en.stateless
    def cooked(sample: dict[str, Any]) -> Tokens:
        return Tokens(**en.basic_sample_keys(sample), tokens=sample["tokens.npy"])

    class Encoder(en.DefaultTaskEncoder):
        cookers = (en.Cooker(cooked),)

    dataset = en.get_train_dataset(
        root / "web", worker_config=en.WorkerConfig(rank=0, world_size=1, num_workers=0), batch_size=None,
        shuffle_buffer_size=100, max_samples_per_sequence=100, task_encoder=Encoder(),
    )  # fmt: skip
    for sample in en.get_loader(dataset, watchdog_timeout_seconds=None):
        yield sample.tokens.astype(np.int32).size


def reader(root: Path) -> Iterator[int]:
    """Our reader without the thread and without the ledger's digest of every sample, in the order of training."""
    from pretrain_trainer.data.order import Mixture, MixtureSource
    from pretrain_trainer.data.reader import SampleReader
    from pretrain_trainer.data.upcoming import Upcoming

    manifest = of_manifest(root)
    mixture = Mixture([MixtureSource(manifest.train.samples, 1.0, None, manifest.samples_per_record)], 1)
    upcoming, samples = Upcoming(mixture, BATCH, range(1), 1, 0), SampleReader(Storage(str(root)), [("web", manifest)])
    while True:
        piece = upcoming.piece()
        for source, index in zip(piece.source, piece.index, strict=True):
            yield samples.read(source, index).tokens.size


CONTENDERS = {c.__name__: c for c in (ours, reader, memory_map, records, memory_map_records, webdataset, mds, energon)}


def main() -> None:
    """Serve turns until stdin ends."""
    # In a program that has let go of something large, the allocator keeps what it is given back: as in training.
    np.ones(4 << 20)
    batches = CONTENDERS[sys.argv[1]](Path(sys.argv[2]))
    total, tokens = 0, of_manifest(Path(sys.argv[2])).train.tokens
    while total < tokens:  # an epoch: every page is in memory, and every checksum was compared
        total += next(batches)
    print(json.dumps({"ready": sys.argv[1]}), flush=True)
    for line in sys.stdin:
        tokens, until = 0, time.perf_counter() + float(line)
        began, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() < until:
            tokens += next(batches)
        used = time.process_time() - cpu
        print(json.dumps({"tokens": tokens, "cpuSeconds": used, "seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
