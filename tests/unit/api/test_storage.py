"""A run's storage on the local file system: files appear whole or not at all, one of many creators wins."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pretrain_api.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(f"file://{tmp_path}/run")


def test_a_path_and_a_file_address_are_the_same_place(tmp_path: Path) -> None:
    assert Storage(str(tmp_path)).root == Storage(f"file://{tmp_path}/").root
    assert Storage(str(tmp_path)).uri("a/b") == f"file://{tmp_path}/a/b"


def test_what_is_written_is_read_again(storage: Storage) -> None:
    storage.write_json("a/b.json", {"x": [1, "é"]})
    assert storage.read_json("a/b.json") == {"x": [1, "é"]}
    assert storage.exists("a/b.json")
    assert storage.names("a") == ["b.json"]


def test_a_folder_that_is_not_there_is_empty(storage: Storage) -> None:
    assert storage.names("nothing") == []


def write_half(storage: Storage) -> None:
    with storage.create("x.bin") as file:
        file.write(b"half")
        raise RuntimeError("half way")


def test_a_file_whose_writing_fails_does_not_appear(storage: Storage) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        write_half(storage)
    assert storage.names("") == []


def test_a_failed_rewrite_leaves_the_old_content(storage: Storage) -> None:
    storage.write_bytes("x.bin", b"old")
    with pytest.raises(RuntimeError, match="half way"):
        write_half(storage)
    assert storage.read_bytes("x.bin") == b"old"


def test_readers_see_the_old_file_until_the_new_one_is_whole(storage: Storage) -> None:
    storage.write_bytes("x.bin", b"old")
    with storage.create("x.bin") as file:
        file.write(b"new")
        file.flush()
        assert storage.read_bytes("x.bin") == b"old"
    assert storage.read_bytes("x.bin") == b"new"


def test_of_many_that_create_a_file_exactly_one_wins(storage: Storage) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: storage.create_exclusive("log/0", str(n).encode()), range(64)))
    assert won.count(True) == 1
    assert storage.read_bytes("log/0") == str(won.index(True)).encode()
    assert storage.names("log") == ["0"]


def test_removing_what_is_gone_is_fine(storage: Storage) -> None:
    storage.write_bytes("a/b/c", b"")
    storage.remove("a")
    storage.remove("a")
    assert not storage.exists("a")
