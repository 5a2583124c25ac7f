import io
import tarfile
from pathlib import Path

import pytest
from support.tars import tar

from pretrain_trainer.indexing.tars import Hashed, content, members

FILES = {"0001.jpg": b"\xff" * 700, "0001.txt": b"a cat", "0002.jpg": b"", "0002.txt": b"x" * 512}
LONG = {f"{'a' * 90}/{'b' * 120}/0001.txt": b"far down", "0002.txt": b"near"}


def walked(archive: bytes) -> list[tuple[str, bytes]]:
    tape = Hashed(io.BytesIO(archive))
    return [(m.name, b"".join(content(tape, m, "x.tar"))) for m in members(tape, "x.tar")]


class TestMembers:
    @pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_are_given_with_their_content(self, form: int) -> None:
        assert walked(tar(FILES, form)) == list(FILES.items())

    @pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_may_have_long_names(self, form: int) -> None:
        assert walked(tar(LONG, form)) == list(LONG.items())

    def test_may_have_pax_headers_of_their_own(self) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("ünï.txt")
            member.size, member.pax_headers = 3, {"SCHILY.xattr.user.note": "x" * 2000, "mtime": "1.5"}
            archive.addfile(member, io.BytesIO(b"abc"))
        assert walked(out.getvalue()) == [("ünï.txt", b"abc")]

    def test_directories_are_passed_over(self) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            folder = tarfile.TarInfo("a")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            archive.addfile(tarfile.TarInfo("a/1.txt"), io.BytesIO(b""))
        assert walked(out.getvalue()) == [("a/1.txt", b"")]

    def test_an_archive_without_any_is_whole(self) -> None:
        assert walked(tar({})) == []

    def test_one_block_of_zeros_ends_it_as_well(self) -> None:
        archive = tar({"a.txt": b"abc"})[:1024] + bytes(512)
        assert walked(archive) == [("a.txt", b"abc")]

    def test_left_unread_they_are_hashed_all_the_same(self) -> None:
        archive = tar(FILES)
        read, left = Hashed(io.BytesIO(archive)), Hashed(io.BytesIO(archive))
        for member in members(read, "x.tar"):
            list(content(read, member, "x.tar"))
        assert [m.name for m in members(left, "x.tar")] == list(FILES)
        assert read.sha256() == left.sha256()
        assert read.tell() == left.tell() == len(archive)

    def test_over_8_gib_are_jumped_over(self, tmp_path: Path) -> None:
        """A size that no octal field holds, in a file of holes; reading it would take the test's time limit."""
        size = (8 << 30) + 5
        big = tarfile.TarInfo("big.bin")
        big.size = size
        header = big.tobuf(format=tarfile.GNU_FORMAT)
        assert header[124] & 0x80, "the size is written in base 256"
        path = tmp_path / "big.tar"
        with open(path, "wb") as file:
            file.write(header)
            file.seek(512 + size + -size % 512)
            file.write(tar({"small.txt": b"after"}))
        with open(path, "rb") as file:
            found = [(m.name, m.offset_data, m.size) for m in members(file, "big.tar")]
        assert found == [("big.bin", 512, size), ("small.txt", 512 + size + -size % 512 + 512, 5)]
