"""One bit of anything that a run reads its samples from is another: an error, or the right samples, and never others."""

import random
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from support import given_shards, token_runs
from support.tars import npy, tar

from pretrain_api import layout, manifests
from pretrain_api.errors import UserError
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.data.foreign import DamagedRecord, SampleShards
from pretrain_trainer.data.indexes import CorruptShard
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.data.samples import Samples

SAMPLES, PER_RECORD = 22, 4
FOLDER = layout.shards(token_runs.UPSTREAM["Encode"], "a")


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    storage = Storage(str(tmp_path / "run"))
    token_runs.write_source(storage, "a", 1, SAMPLES, 4, samples_per_record=PER_RECORD)
    return storage


def read(storage: Storage) -> Samples:
    """As a new process would: nothing is known of before. Every sample of the split is asked for."""
    manifest = manifests.parse(storage.read_bytes(f"{FOLDER}/{layout.MANIFEST}"), "manifest.json")
    assert isinstance(manifest, Manifest)
    index = np.arange(max(SAMPLES, manifest.train.samples))
    return SampleReader(storage, [(FOLDER, manifest)]).read(np.zeros(len(index), dtype=np.int64), index)


def same(one: Samples, other: Samples) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("tokens", "document_ids", "valid", "stand_ins")
    )


def flips(size: int, most: int, seed: int) -> Iterator[tuple[int, int]]:
    """Byte and bit, of all that there are or of so many that are drawn."""
    every = [(byte, bit) for byte in range(size) for bit in range(8)]
    yield from every if len(every) <= most else random.Random(seed).sample(every, most)


@pytest.mark.parametrize(("name", "most"), [("000000.tar", 400), ("000000.idx", 800), ("manifest.json", 800)])
def test_of_a_file_in_a_folder(run: Storage, name: str, most: int) -> None:
    expected, path = read(run), Path(run.path(f"{FOLDER}/{name}"))
    whole = path.read_bytes()
    told = 0
    for byte, bit in flips(len(whole), most, seed=len(name)):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ (1 << bit)]) + whole[byte + 1 :])
        try:
            found = read(run)
        except (CorruptShard, UserError):
            told += 1
            continue
        assert same(found, expected), f"bit {bit} of byte {byte} of {name}: other samples, and no word of it"
    assert told


@pytest.mark.parametrize(("name", "most"), [("000000.tar", 150), ("000000.idx", 150)])
def test_of_an_object_in_a_store(run: Storage, name: str, most: int) -> None:
    store = Storage("memory://flips")
    for file in Path(run.path(FOLDER)).rglob("*"):
        if file.is_file():
            store.write_bytes(f"{FOLDER}/{file.relative_to(run.path(FOLDER))}", file.read_bytes())
    expected, whole = read(run), store.read_bytes(f"{FOLDER}/{name}")
    told = 0
    for byte, bit in flips(len(whole), most, seed=len(name)):
        store.write_bytes(f"{FOLDER}/{name}", whole[:byte] + bytes([whole[byte] ^ (1 << bit)]) + whole[byte + 1 :])
        try:
            found = read(store)
        except CorruptShard:
            told += 1
            continue
        assert same(found, expected), f"bit {bit} of byte {byte} of {name}: other samples, and no word of it"
    assert told
    fsspec.filesystem("memory").rm("/flips", recursive=True)


@pytest.mark.parametrize(("name", "most"), [("000000.tar", 800), ("000000.idx", 1200), ("manifest.json", 800)])
def test_of_shards_that_others_wrote(tmp_path: Path, name: str, most: int) -> None:
    """The key of a record is a name, which no checksum covers; what it holds is covered."""
    content = {f"{n}.{end}": bytes([n + 65]) * (n + 3) for n in range(5) for end in ("jpg", "txt")}
    (tmp_path / "000000.tar").write_bytes(tar({**content, "6.npy": npy(np.arange(6, dtype=np.uint16).reshape(2, 3))}))
    given_shards.index(tmp_path)

    def records() -> list[tuple[int, dict[str, bytes]]]:
        shards = SampleShards(str(tmp_path / "manifest.json"))
        return [(sample.samples, sample.members) for sample in map(shards.read, range(len(shards)))]

    expected, whole = records(), (tmp_path / name).read_bytes()
    told = 0
    for byte, bit in flips(len(whole), most, seed=len(name)):
        (tmp_path / name).write_bytes(whole[:byte] + bytes([whole[byte] ^ (1 << bit)]) + whole[byte + 1 :])
        try:
            found = records()
        except (DamagedRecord, UserError):
            told += 1
            continue
        assert found == expected, f"bit {bit} of byte {byte} of {name}: other records, and no word of it"
    assert told
