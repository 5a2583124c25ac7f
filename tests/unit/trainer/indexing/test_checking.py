"""`pretrain index --check`: what differs first between each tar and what is said of it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import given_shards
from support.tars import captioned, npy, tar

from pretrain_trainer.indexing import checking, places


def told(folder: Path, processes: int = 1) -> list[str]:
    found = checking.differences(places.find([str(folder)], ""), "", processes, given_shards.Patient())
    return [difference.removeprefix(f"file://{folder}/") for difference in found]


def test_finds_nothing_after_indexing(tmp_path: Path) -> None:
    given_shards.index(captioned(tmp_path))
    assert told(tmp_path) == told(tmp_path, processes=2) == []


def test_tells_what_is_missing_or_changed_and_writes_nothing(tmp_path: Path) -> None:
    captioned(tmp_path)
    assert told(tmp_path) == ["manifest.json is not there"]
    given_shards.index(tmp_path)
    (tmp_path / "000000.idx").unlink()
    os.utime(tmp_path / "000001.tar", ns=(1, 1))
    rows = np.load(tmp_path / "000002.idx")
    with (tmp_path / "000002.idx").open("wb") as file:
        np.save(file, rows[:-1])
    (tmp_path / "000003.tar").write_bytes(tar({"a.npy": npy(np.zeros(1))}))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert told(tmp_path) == [
        "000000.idx is not there",
        "000001.tar has changed since it was indexed",
        "000002.idx has 4 records where the manifest says 5",
        "000003.tar is not in the manifest",
    ]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_index_that_is_a_folder_or_an_archive_is_told(tmp_path: Path) -> None:
    given_shards.index(captioned(tmp_path, shards=2))
    (tmp_path / "000000.idx").unlink()
    (tmp_path / "000000.idx").mkdir()
    (tmp_path / "000001.idx").write_bytes(b"PK\x03\x04, and no archive")
    found = told(tmp_path)
    assert [difference.partition(": ")[0] for difference in found] == [
        "000000.idx cannot be read",
        "000001.idx cannot be read",
    ]


FILES = {"a.jpg": b"j" * 700, "a.txt": b"a cat", "b.jpg": b"j" * 600, "b.txt": b"a dog", "c.txt": b"none"}
"""Headers at 0, 1536, 2560, 4096 and 5120; each content begins 512 bytes behind."""


def other_files(**changes: bytes) -> Callable[[Path], None]:
    """The tar with other files of the same size in all, and the time that it had."""

    def change(path: Path) -> None:
        replace(path, tar({**FILES, **changes}))

    return change


def replace(path: Path, content: bytes) -> None:
    """In silence: size and time stay those that were indexed, as where a disk is copied badly."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def renamed(old: str, new: str) -> Callable[[Path], None]:
    return lambda path: replace(path, tar({(new if name == old else name): data for name, data in FILES.items()}))


def without(name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        rest = tar({n: data for n, data in FILES.items() if n != name})
        replace(path, rest.ljust(path.stat().st_size, b"\0"))

    return change


def row(number: int, column: str, value: object) -> Callable[[Path], None]:
    """One field of the index is another."""

    def change(path: Path) -> None:
        rows = np.load(path.with_suffix(".idx"))
        rows[number][column] = value
        with path.with_suffix(".idx").open("wb") as file:
            np.save(file, rows)

    return change


def index_of_another_tar(path: Path) -> None:
    path.with_suffix(".idx").write_bytes(path.with_name("other.idx").read_bytes())


def damaged_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1536] ^= 1
    replace(path, bytes(content))


HEADERS = {
    "a larger member": (
        other_files(**{"a.txt": b"a cat and a dog"}),
        "x.tar, record 0 (a), txt: 15 bytes from byte 2,048 on, where the index says 5 bytes from byte 2,048 on",
    ),
    "a member that moved what follows": (
        other_files(**{"a.jpg": b"j" * 100, "b.jpg": b"j" * 1100}),
        "x.tar, record 0 (a), jpg: 100 bytes from byte 512 on, where the index says 700 bytes from byte 512 on",
    ),
    "another key": (renamed("c.txt", "d.txt"), "x.tar, record 2 (d): the index has record 'c' in its place"),
    "another member": (renamed("b.txt", "b.cls"), "x.tar, record 1 (b), cls: the tar has it and the index does not"),
    "a member gone at the end": (without("c.txt"), "x.tar: it ends before record 2 (c)"),
    "a member gone in the middle": (
        without("b.jpg"),
        "x.tar, record 1 (b), jpg: the index has it and the tar does not",
    ),
    "one record become two": (
        renamed("b.jpg", "a2.jpg"),
        "x.tar, record 1 (a2): the index has record 'b' in its place",
    ),
    "an offset of the index": (
        row(1, "jpg.offset", 3000),
        "x.tar, record 1 (b), jpg: 600 bytes from byte 3,072 on, where the index says 600 bytes from byte 3,000 on",
    ),
    "a length of the index": (
        row(2, "txt.length", 9),
        "x.tar, record 2 (c), txt: 4 bytes from byte 5,632 on, where the index says 9 bytes from byte 5,632 on",
    ),
    "a key of the index": (row(1, "key", b"x"), "x.tar, record 1 (b): the index has record 'x' in its place"),
    "the index of another tar": (
        index_of_another_tar,
        "x.tar, record 0 (a), jpg: 700 bytes from byte 512 on, where the index says 3 bytes from byte 512 on",
    ),
    "a header that is damaged": (
        damaged_header,
        "x.tar: at byte 1536 a header is expected and there is none (bad checksum).",
    ),
    "zeros": (lambda path: replace(path, bytes(path.stat().st_size)), "x.tar: it ends before record 0 (a)"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_names_the_first_header_that_differs(tmp_path: Path, case: str) -> None:
    (tmp_path / "x.tar").write_bytes(tar(FILES))
    (tmp_path / "other.tar").write_bytes(tar(dict.fromkeys(FILES, b"oth")))
    given_shards.index(tmp_path)
    change, expected = HEADERS[case]
    change(tmp_path / "x.tar")
    assert told(tmp_path) == [expected]


def test_contents_are_jumped_over(tmp_path: Path) -> None:
    """A check of large members reads next to nothing; that contents are whole is for `pretrain data verify` to say."""
    (tmp_path / "x.tar").write_bytes(tar({"a.bin": b"x" * (1 << 20), "b.bin": b"y" * (1 << 20)}))
    given_shards.index(tmp_path)

    class Counting:
        """A file that knows how much was read of it."""

        def __init__(self, path: Path) -> None:
            self._file, self.bytes = path.open("rb"), 0

        def read(self, size: int = -1, /) -> bytes:
            content = self._file.read(size)
            self.bytes += len(content)
            return content

        def seek(self, offset: int, whence: int = 0, /) -> int:
            return self._file.seek(offset, whence)

        def tell(self) -> int:
            return self._file.tell()

    tape = Counting(tmp_path / "x.tar")
    assert checking.first_difference(tape, np.load(tmp_path / "x.idx"), "x.tar") == ""
    assert tape.bytes < 20_000
    tape._file.close()
