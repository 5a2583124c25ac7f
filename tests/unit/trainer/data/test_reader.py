from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from pretrain_api.shards import Manifest, Split
from pretrain_api.storage import Storage
from pretrain_trainer.data.indexes import CorruptShard
from pretrain_trainer.data.packing import plan, write_shard
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.data.token_streams import stream_path

WIDTH = 8
DOCUMENTS = [5, 30, 1, 12, 8, 8, 1, 40, 3]  # tokens in each
PADDING = 999


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield Storage(str(tmp_path))
        return
    yield Storage("memory://reader")
    fsspec.filesystem("memory").rm("/reader", recursive=True)


@pytest.fixture(autouse=True)
def small_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrain_trainer.data.shards.RECORD_BYTES", 3 * WIDTH * 2)


def write(storage: Storage, folder: str, documents: list[int], shard_bytes: int = 1 << 20) -> tuple[str, Manifest]:
    """Shards of documents whose tokens count up from 0, through the pieces that Encode would leave."""
    total = sum(documents)
    starts = np.cumsum([0, *documents[:-1]])
    with storage.create(stream_path(f"{folder}/pieces/a", "train")) as file:
        np.save(file, np.arange(total, dtype=np.uint16))
        np.save(file, starts)
    packings = plan(storage, folder, "train", [(f"{folder}/pieces/a", total)], WIDTH - 1, 1000, PADDING, shard_bytes)
    shards = [write_shard(packing) for packing in packings]
    split = Split(shards=shards, samples=sum(s.samples for s in shards), tokens=total, documents=len(documents))
    return folder, Manifest(
        fingerprint="f", source="s", sequence_length=WIDTH - 1, samples_per_record=3, dtype="uint16", vocab_size=1000,
        tokenizer_sha256="", end_of_text=0, padding=PADDING, train=split, validation=Split(),
    )  # fmt: skip


def read_all(storage: Storage, folder: str, manifest: Manifest) -> Samples:
    samples = manifest.train.samples
    return SampleReader(storage, [(folder, manifest)]).read(np.zeros(samples, dtype=np.int64), np.arange(samples))


class TestSamples:
    def test_hold_every_token_once_and_in_order(self, storage: Storage) -> None:
        folder, manifest = write(storage, "s", DOCUMENTS)
        samples = read_all(storage, folder, manifest)
        assert samples.tokens[samples.valid].tolist() == list(range(sum(DOCUMENTS)))

    def test_mark_the_padding_of_the_last_sequence(self, storage: Storage) -> None:
        folder, manifest = write(storage, "s", DOCUMENTS)
        samples = read_all(storage, folder, manifest)
        assert (samples.tokens[~samples.valid] == PADDING).all()
        assert (~samples.valid).sum() == -sum(DOCUMENTS) % WIDTH
        assert samples.valid[:-1].all()

    def test_number_documents_from_0_in_each_sequence(self, storage: Storage) -> None:
        folder, manifest = write(storage, "s", DOCUMENTS)
        samples = read_all(storage, folder, manifest)
        of_token = np.repeat(np.arange(len(DOCUMENTS)), DOCUMENTS)
        for row in range(manifest.train.samples):
            expected = of_token[row * WIDTH : (row + 1) * WIDTH]
            ids = samples.document_ids[row][samples.valid[row]]
            assert ids.tolist() == (expected - expected[0]).tolist()

    def test_give_padding_a_document_of_its_own(self, storage: Storage) -> None:
        folder, manifest = write(storage, "s", DOCUMENTS)
        samples = read_all(storage, folder, manifest)
        last, valid = samples.document_ids[-1], samples.valid[-1]
        assert set(last[valid]).isdisjoint(last[~valid])

    def test_come_in_the_order_asked_for_from_several_shards_and_sources(self, storage: Storage) -> None:
        first = write(storage, "a", DOCUMENTS, shard_bytes=3 * WIDTH * 2)
        second = write(storage, "b", [100, 100])
        assert len(first[1].train.shards) > 2
        source = np.array([1, 0, 0, 1, 0, 1])
        index = np.array([24, 13, 0, 0, 13, 7])
        samples = SampleReader(storage, [first, second]).read(source, index)
        assert samples.tokens[:, 0].tolist() == (index * WIDTH).tolist()
        assert samples.tokens.dtype == np.int32
        assert samples.document_ids.dtype == np.int32

    def test_of_sources_here_and_elsewhere_are_read_ahead_together(self, tmp_path: Path) -> None:
        """What is announced of local sources is nothing to fetch."""
        here, elsewhere = Storage(str(tmp_path)), Storage("memory://mixed")
        near, (_, far) = write(here, "a", [300]), write(elsewhere, "b", [300])
        reader = SampleReader(here, [near, (elsewhere.uri("b"), far)])
        source, index = np.arange(60) % 2, np.arange(60) // 2
        reader.announce(source, index)
        for begin in range(0, 60, 6):
            some = slice(begin, begin + 6)
            assert reader.read(source[some], index[some]).tokens[:, 0].tolist() == (index[some] * WIDTH).tolist()
            reader.pass_by(6)
        reader.close()
        fsspec.filesystem("memory").rm("/mixed", recursive=True)

    def test_that_a_source_lacks_are_refused(self, storage: Storage) -> None:
        folder, manifest = write(storage, "s", DOCUMENTS)
        with pytest.raises(IndexError, match="samples 0 to 13"):
            SampleReader(storage, [(folder, manifest)]).read(np.array([0]), np.array([14]))

    def test_of_an_empty_slice_are_no_samples(self, storage: Storage) -> None:
        samples = SampleReader(storage, [write(storage, "s", DOCUMENTS)]).read(np.array([], int), np.array([], int))
        assert samples.tokens.shape == (0, WIDTH)


class TestCache:
    def test_stays_within_its_bytes_on_remote_storage(self, storage: Storage) -> None:
        if storage.is_local:
            return
        folder, manifest = write(storage, "s", [200])
        samples = SampleReader(storage, [(folder, manifest)])
        assert samples._remote is not None
        samples._remote.budget = 200
        for index in [0, 24, 0, 12, 24]:
            tokens = samples.read(np.array([0]), np.array([index])).tokens
            assert tokens[0, 0] == index * WIDTH
            assert samples._remote._kept_bytes <= 200


class TestDamage:
    def test_names_shard_and_record_of_a_block_that_fails_its_checksum(self, storage: Storage) -> None:
        folder, manifest = write(storage, "s", DOCUMENTS)
        content = bytearray(storage.read_bytes("s/000000.tar"))
        index = np.load(fsspec.open(storage.uri("s/000000.idx"), "rb").open())
        content[int(index[1]["tokens_offset"]) + 130] ^= 1
        storage.write_bytes("s/000000.tar", bytes(content))
        samples = SampleReader(storage, [(folder, manifest)])
        samples.read(np.array([0]), np.array([0]))
        with pytest.raises(CorruptShard, match=r"000000\.tar, record 1 \(tokens\): crc32c"):
            samples.read(np.array([0]), np.array([3]))

    def test_of_a_shard_cut_short_is_an_error(self, storage: Storage) -> None:
        folder, manifest = write(storage, "s", DOCUMENTS)
        storage.write_bytes("s/000000.tar", storage.read_bytes("s/000000.tar")[:1024])
        with pytest.raises(CorruptShard, match=r"000000\.tar"):
            read_all(storage, folder, manifest)

    def test_of_a_shard_that_is_gone_or_empty_is_an_error(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        folder, manifest = write(storage, "s", DOCUMENTS)
        storage.write_bytes("s/000000.tar", b"")
        with pytest.raises(CorruptShard, match=r"000000\.tar is missing or empty"):
            read_all(storage, folder, manifest)
        storage.remove("s/000000.tar")
        with pytest.raises(CorruptShard, match=r"000000\.tar is missing or empty"):
            read_all(storage, folder, manifest)

    def test_of_an_index_is_an_error(self, storage: Storage) -> None:
        folder, manifest = write(storage, "s", DOCUMENTS)
        storage.write_bytes("s/000000.idx", storage.read_bytes("s/000000.idx")[:150])
        with pytest.raises(CorruptShard, match=r"index .*000000\.idx"):
            read_all(storage, folder, manifest)
