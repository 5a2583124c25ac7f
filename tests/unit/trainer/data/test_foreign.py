import pickle
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from support.given_shards import index
from support.tars import captioned, image, tar

from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.data.foreign import DamagedRecord, SampleShards

SHARDS, RECORDS = 6, 5
TOTAL = SHARDS * RECORDS
IMAGES = [image(record) for record in range(TOTAL)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    index(captioned(tmp_path, SHARDS, RECORDS))
    return tmp_path


def opened(folder: Path, **options: int) -> SampleShards:
    return SampleShards(str(folder / "manifest.json"), **options)


def is_right(shards: SampleShards, record: int) -> bool:
    sample = shards.read(record)
    members = {"jpg": IMAGES[record], "txt": f"caption of image {record}".encode()}
    return (sample.key, sample.number, sample.members) == (f"{record:06d}", record % RECORDS, members)


class TestManyThreads:
    @pytest.mark.parametrize("index_bytes", [1 << 20, 1], ids=["every index is kept", "one index is kept"])
    def test_read_every_record_right_in_any_order(self, folder: Path, index_bytes: int) -> None:
        shards, start = opened(folder, index_bytes=index_bytes), threading.Barrier(8)

        def read(seed: int) -> bool:
            order = list(range(TOTAL)) * 10
            random.Random(seed).shuffle(order)
            start.wait(timeout=60)
            return all(is_right(shards, record) for record in order)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, range(8)))

    def test_read_an_index_once(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read, lock, inner = list[str](), threading.Lock(), Storage.read_bytes

        def counted(storage: Storage, relative: str) -> bytes:
            with lock:
                read.append(relative)
            return inner(storage, relative)

        shards, start = opened(folder), threading.Barrier(8)
        monkeypatch.setattr(Storage, "read_bytes", counted)

        def first(thread: int) -> bool:
            start.wait(timeout=60)
            return is_right(shards, thread % RECORDS)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(first, range(8)))
        assert read == ["000000.idx"]


class TestIndexes:
    def test_that_were_missing_are_looked_for_again(self, folder: Path) -> None:
        path = folder / "000000.idx"
        content = path.read_bytes()
        path.unlink()
        shards = opened(folder)
        with pytest.raises(UserError):
            shards.read(0)
        path.write_bytes(content)
        assert is_right(shards, 0)


class TestOtherProcesses:
    def test_are_given_shards_that_read_for_themselves(self, folder: Path) -> None:
        shards = opened(folder)
        assert is_right(shards, 0)
        copy = pickle.loads(pickle.dumps(shards))
        assert len(pickle.dumps(copy)) == len(pickle.dumps(opened(folder)))
        assert all(is_right(copy, record) for record in range(TOTAL))


class TestDamage:
    def test_is_found_in_the_record_that_has_it(self, folder: Path) -> None:
        shards = opened(folder)
        assert is_right(shards, 1)
        path = folder / "000000.tar"
        content = path.read_bytes()
        path.write_bytes(content.replace(b"caption of image 1", b"caption of image 7"))
        with pytest.raises(DamagedRecord, match=r"record 1 \(000001\), txt: crc32c is"):
            shards.read(1)
        assert is_right(shards, 0)

    def test_is_told_behind_the_records_before_it(self, folder: Path) -> None:
        path = folder / "000000.tar"
        content = path.read_bytes()
        path.write_bytes(content[: content.index(b"caption of image 2") + 3])
        found = list[str]()
        with pytest.raises(DamagedRecord, match="it was cut short"):
            found.extend(sample.key for sample in opened(folder).scan(0))
        assert found == ["000000", "000001"]


class TestRecords:
    def test_may_lack_members(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar({"0.txt": b"a", "1.cls": b"7", "1.txt": b"b", "2.cls": b"8"}))
        index(tmp_path)
        shards = opened(tmp_path)
        assert [shards.read(n).members for n in range(3)] == [{"txt": b"a"}, {"cls": b"7", "txt": b"b"}, {"cls": b"8"}]
        assert [sample.members for sample in shards.scan(0)] == [shards.read(n).members for n in range(3)]

    def test_are_decoded_with_images_as_they_are_trained_on(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar({"0.png": image(form="PNG"), "0.cls": b"7", "1.png": b"text"}))
        index(tmp_path)
        shards = opened(tmp_path)
        found = shards.decoded(0)
        assert isinstance(found["png"], Image.Image)
        assert (found["png"].mode, found["cls"]) == ("RGB", 7)
        with pytest.raises(UserError, match="record '1' cannot be decoded: it is none of JPEG") as refused:
            shards.decoded(1)
        assert refused.value.code == "record-broken"

    def test_have_numbers(self, folder: Path) -> None:
        with pytest.raises(IndexError, match=f"has records 0 to {TOTAL - 1}, not {TOTAL}"):
            opened(folder).read(TOTAL)
