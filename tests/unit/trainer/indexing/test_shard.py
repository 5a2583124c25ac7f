import hashlib
import io
import tarfile
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np
import pytest
from support.tars import npy, tar
from webdataset.tariterators import group_by_keys, tar_file_iterator

from pretrain_api.samples import ArrayFormat, Member
from pretrain_trainer.indexing.shard import Indexed, index_tar

FILES = {
    "a/0001.seg.png": b"mask",
    "a/0001.jpg": b"photo",
    "a/0001.txt": b"a cat",
    "a/0002.jpg": b"only an image",
    "README": b"no record",
    "a/0003.TXT": b"",
}


def indexed(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> tuple[Indexed, bytes]:
    archive = tar(files, form)
    return index_tar(io.BytesIO(archive), "x.tar"), archive


def tarfile_samples(stream: io.BytesIO) -> Iterator[dict[str, Any]]:
    """As webdataset's pipeline reads them; of a file it leaves the descriptor to the garbage collector."""
    return group_by_keys({**file, "__url__": "x.tar"} for file in tar_file_iterator(stream))


class TestIndex:
    @pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_rows_point_at_what_webdataset_reads(self, form: int) -> None:
        found, archive = indexed(FILES, form)
        samples = list(tarfile_samples(io.BytesIO(archive)))
        assert [row["key"].decode() for row in found.index] == [sample["__key__"] for sample in samples]
        for row, sample in zip(found.index, samples, strict=True):
            for name in found.members:
                offset, length = int(row[f"{name}.offset"]), int(row[f"{name}.length"])
                content = archive[offset : offset + length] if offset else None
                assert content == sample.get(name)
                if content is not None:
                    assert row[f"{name}.crc32c"] == google_crc32c.value(content)

    def test_says_what_the_tar_holds(self) -> None:
        found, archive = indexed(FILES)
        assert found.bytes == len(archive)
        assert found.sha256 == hashlib.sha256(archive).hexdigest()
        assert found.skipped == 1
        assert found.samples == len(found.index) == 3
        assert found.members == {
            "jpg": Member(kind="image", records=2, bytes=18),
            "seg.png": Member(kind="image", records=1, bytes=4),
            "txt": Member(kind="text", records=2, bytes=5),
        }

    def test_rows_of_token_arrays_are_samples(self) -> None:
        blocks = {f"{i}.npy": npy(np.arange(n * 9, dtype=np.uint16).reshape(n, 9)) for i, n in enumerate((4, 3))}
        found, _ = indexed(blocks)
        assert found.index["samples"].tolist() == [4, 3]
        assert found.index["npy.values"].tolist() == [36, 27]
        assert found.samples == 7
        assert found.members["npy"].array == ArrayFormat(dtype="<u2", dimensions=2, width=9, values=63, largest=35)

    def test_arrays_that_differ_are_told_as_such(self) -> None:
        found, _ = indexed({"0.npy": npy(np.zeros((2, 3), np.uint16)), "1.npy": npy(np.zeros(5, np.float32))})
        assert found.members["npy"].array == ArrayFormat(dtype="", dimensions=-1, width=0, values=11, largest=0)

    def test_a_tar_without_records_has_an_empty_index(self) -> None:
        found, _ = indexed({})
        assert len(found.index) == 0
        assert found.members == {}
