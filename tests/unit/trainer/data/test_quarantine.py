"""What is written down of damaged records, by many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_trainer.data.indexes import CorruptShard
from pretrain_trainer.data.quarantine import Quarantine


def left_out(quarantine: Quarantine, record: int) -> None:
    quarantine.leave_out("some", "train", record, "000000.tar", record, 1, "is damaged")


def test_many_threads_may_leave_out_as_many_records_as_the_bound_allows(tmp_path: Path) -> None:
    storage, start = Storage(str(tmp_path)), threading.Barrier(16)

    def some(thread: int) -> None:
        start.wait(timeout=60)
        for record in range(40):  # each record is met by two threads
            left_out(Quarantine(storage, "f", 320), thread // 2 * 40 + record)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(some, range(16))) == [None] * 16
    assert len(storage.names(f"{layout.QUARANTINE}/f")) == 320
    with pytest.raises(CorruptShard, match=r"makes 321 damaged records, more than spec.data.maxBadRecords \(320\)"):
        left_out(Quarantine(storage, "f", 320), 320)


def test_a_file_that_is_being_written_is_no_record(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write_bytes(f"{layout.QUARANTINE}/f/some-00000007.json.1a2b3c4d.tmp", b"{")
    left_out(Quarantine(storage, "f", 1), 3)
