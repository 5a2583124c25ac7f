"""Which records a worker's disk keeps."""

import os
from pathlib import Path

import numpy as np
import pytest

from pretrain_trainer.data.disk_cache import DiskCache

RECORD = np.arange(100, dtype=np.uint8)


def kept(cache: DiskCache, source: int = 0) -> list[int]:
    return [record for record in range(20) if cache.get((source, record)) is not None]


class TestDiskCache:
    def test_a_record_is_there_in_the_next_start(self, tmp_path: Path) -> None:
        DiskCache(tmp_path / "new", ["a"], 1000).put((0, 7), RECORD)
        again = DiskCache(tmp_path / "new", ["a"], 1000)
        content = again.get((0, 7))
        assert content is not None
        assert content.tolist() == RECORD.tolist()
        assert kept(again) == [7]

    def test_a_full_one_keeps_what_it_has(self, tmp_path: Path) -> None:
        for _ in range(2):
            cache = DiskCache(tmp_path, ["a", "b"], 550)
            for record in range(8):
                cache.put((record % 2, record), RECORD)
            assert (kept(cache, 0), kept(cache, 1)) == ([0, 2, 4], [1, 3])

    def test_writing_a_record_again_takes_no_further_room(self, tmp_path: Path) -> None:
        cache = DiskCache(tmp_path, ["a"], 300)
        for _ in range(5):
            cache.put((0, 0), RECORD)
        cache.put((0, 1), RECORD)
        cache.put((0, 2), RECORD)
        assert kept(cache) == [0, 1, 2]

    def test_other_data_make_room_the_oldest_first(self, tmp_path: Path) -> None:
        before = DiskCache(tmp_path, ["old"], 1000)
        for record in range(3):
            before.put((0, record), RECORD)
            (file,) = tmp_path.rglob(f"{record:010d}")
            os.utime(file, (record, record))
        cache = DiskCache(tmp_path, ["new"], 400)
        cache.put((0, 0), RECORD)
        assert kept(before) == [0, 1, 2]
        cache.put((0, 1), RECORD)
        assert (kept(before), kept(cache)) == ([1, 2], [0, 1])
        for record in range(2, 9):
            cache.put((0, record), RECORD)
        assert (kept(before), kept(cache)) == ([], [0, 1, 2, 3])

    def test_nothing_else_in_the_folder_is_touched(self, tmp_path: Path) -> None:
        others = [tmp_path / "a" / "b" / name for name in ("0000000001", ".hidden", "text.txt")]
        others[0].parent.mkdir(parents=True)
        for other in others:
            other.write_bytes(bytes(1000))
            os.utime(other, (0, 0))
        cache = DiskCache(tmp_path, ["a"], 150)
        for record in range(3):
            cache.put((0, record), RECORD)
        assert kept(cache) == [0]
        assert all(other.exists() for other in others)

    @pytest.mark.parametrize("ranks", [1, 2, 3])
    def test_ranks_together_keep_to_the_bound_whatever_their_number_was(self, tmp_path: Path, ranks: int) -> None:
        first = DiskCache(tmp_path, ["a"], 1000)
        for record in range(7):
            first.put((0, record), RECORD)
        caches = [DiskCache(tmp_path, ["a"], 1000, rank, ranks) for rank in range(ranks)]
        for record in range(7, 20):
            caches[record % ranks].put((0, record), RECORD)
        assert 8 <= len(kept(first)) <= 10

    def test_what_a_killed_writer_left_goes_once_nobody_writes_it_any_more(self, tmp_path: Path) -> None:
        DiskCache(tmp_path, ["a"], 1000).put((0, 0), RECORD)
        (file,) = tmp_path.rglob("0000000000")
        old, fresh = file.with_name(".old"), file.with_name(".fresh")
        for left in (old, fresh):
            left.write_bytes(b"half")
        os.utime(old, (0, 0))
        assert kept(DiskCache(tmp_path, ["a"], 1000)) == [0]
        assert (old.exists(), fresh.exists()) == (False, True)
