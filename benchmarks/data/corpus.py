"""The same tokens in the form of each contender: our shards (plain WebDataset tars), which Energon reads with an index of
its own, one flat array, MDS."""

from pathlib import Path

import numpy as np

from pretrain_api import layout
from pretrain_api.shards import Manifest, Shard, Split
from pretrain_api.storage import Storage
from pretrain_trainer.data import shards

LENGTH = 2048
VOCABULARY = 50_000
MEAN_DOCUMENT = 700
"""Tokens; about what web text has."""


def manifest_of(described: list[Shard], per_record: int, tokens: int, source: str = "web") -> Manifest:
    """A manifest of a training split alone."""
    return Manifest(
        fingerprint="bench", source=source, sequence_length=LENGTH, samples_per_record=per_record, dtype="uint16",
        vocab_size=VOCABULARY, tokenizer_sha256="0" * 64, end_of_text=0, padding=1, validation=Split(),
        train=Split(shards=described, samples=sum(s.samples for s in described), tokens=tokens, documents=1),
    )  # fmt: skip


def write_shards(root: Path, mebibytes: int, shard_mebibytes: int = 64) -> Manifest:
    """Shards of random tokens, and the same sequences one after the other in `flat.bin`."""
    rng, storage = np.random.default_rng(5), Storage(str(root))
    per_record = shards.samples_per_record(LENGTH, np.dtype(np.uint16))
    records = (mebibytes << 20) // (per_record * (LENGTH + 1) * 2)
    per_shard = max(1, records * shard_mebibytes // mebibytes)
    described: list[Shard] = []
    with (root / "flat.bin").open("wb") as flat:
        for number, first in enumerate(range(0, records, per_shard)):
            with storage.create(f"web/{number:06d}.tar") as file:
                writer = shards.ShardWriter(file)
                for record in range(first, min(first + per_shard, records)):
                    block = rng.integers(0, VOCABULARY, (per_record, LENGTH + 1), dtype=np.uint16)
                    count = block.size // MEAN_DOCUMENT
                    starts = np.unique(rng.integers(0, block.size, count)).astype(np.uint32)
                    writer.write(record, block, starts, block.size)
                    block.tofile(flat)
                index, size, sha256 = writer.close()
            shards.publish_index(storage, "web", number, index)
            described.append(shards.described("", number, index, size, sha256))
    manifest = manifest_of(described, per_record, records * per_record * (LENGTH + 1))
    storage.write_json(f"web/{layout.MANIFEST}", manifest.model_dump(mode="json"))
    return manifest


def convert_for_rivals(root: Path) -> None:
    """Everything that a rival needs beside our shards."""
    write_mds(root)
    index_for_energon(root)


def index_for_energon(root: Path) -> None:
    """Energon's index and description of our tars, beside them. Needs megatron-energon."""
    from megatron.energon.flavors import BaseWebdatasetFactory

    tars = sorted(path.name for path in (root / "web").glob("*.tar"))
    BaseWebdatasetFactory.prepare_dataset(root / "web", tars, split_parts_ratio=[("train", 1.0)], workers=1)
    described = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"
    (root / "web" / ".nv-meta" / "dataset.yaml").write_text(described)


def write_mds(root: Path) -> None:
    """Our records as MDS samples, uncompressed, which is what its reader is quickest with. Needs mosaicml-streaming."""
    from streaming import MDSWriter

    manifest = Manifest.model_validate(Storage(str(root)).read_json(f"web/{layout.MANIFEST}"))
    flat = np.memmap(root / "flat.bin", dtype=np.uint16, mode="r").reshape(-1, manifest.samples_per_record, LENGTH + 1)
    with MDSWriter(out=str(root / "mds"), columns={"tokens": "ndarray:uint16"}, size_limit=64 << 20) as out:
        for block in flat:
            out.write({"tokens": np.array(block)})
