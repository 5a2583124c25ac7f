"""Shards with one thing wrong with them: each is found, with shard, record and member."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import token_runs
from support.given_shards import index
from support.tars import captioned, image, npy, tar

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_trainer.inspecting import targets, verify


def findings(uri: Path) -> list[str]:
    """In the words of the program."""
    target = targets.find(str(uri), "")
    found = [verify.verify(task) for source in target.sources for task in verify.tasks(source)]
    return [str(f).replace(f"file://{uri}/", "") for each in found for f in each.findings]


def with_bytes(path: Path, at: int, new: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)


def test_whole_shards_have_no_fault(tmp_path: Path) -> None:
    index(captioned(tmp_path))
    assert findings(tmp_path) == []


def flipped_bit(folder: Path) -> list[str]:
    path = folder / "000001.tar"
    content = path.read_bytes()
    at = content.index(b"caption of image 6")
    with_bytes(path, at, b"C")
    return ["000001.tar, record 1 (000006), txt: crc32c is ", "000001.tar: SHA-256 "]


def cut_short(folder: Path) -> list[str]:
    path = folder / "000001.tar"
    path.write_bytes(path.read_bytes()[:1500])
    return ["000001.tar: the tar is cut short: "]


def another_tar(folder: Path) -> list[str]:
    (folder / "000000.tar").write_bytes((folder / "000001.tar").read_bytes())
    named = [f"000000.tar, record {n} ({n + 5:06d}): the index has record '{n:06d}' in its place" for n in range(5)]
    return [*named, "000000.tar: SHA-256 "]


def tar_gone(folder: Path) -> list[str]:
    (folder / "000002.tar").unlink()
    return ["000002.tar: 000002.tar does not exist. "]


def record_added(folder: Path) -> list[str]:
    path = folder / "000000.tar"
    files = {f"{n:06d}.{end}": b"x" for n in range(6) for end in ("jpg", "txt")}
    path.write_bytes(tar(files))
    return ["000000.tar, record 0 (000000), jpg: ", "000000.tar: records 6 where the manifest says 5"]


STRUCTURE = [flipped_bit, cut_short, another_tar, tar_gone, record_added]


@pytest.mark.parametrize("damage", STRUCTURE)
def test_damage_after_indexing_is_found(tmp_path: Path, damage: Callable[[Path], list[str]]) -> None:
    index(captioned(tmp_path))
    expected = damage(tmp_path)
    found = findings(tmp_path)
    for begin in expected:
        assert any(finding.startswith(begin) for finding in found), (begin, found)
    assert len({finding[:10] for finding in found}) == 1, "of one shard alone"


CONTENT = {
    "corrupt JPEG": ("jpg", image()[:300], "it cannot be decoded: "),
    "empty image": ("jpg", b"", "it is empty"),
    "no image": ("png", b"<html>", "it is none of JPEG, PNG, WEBP, GIF, BMP, AVIF, or its header is damaged"),
    "caption in Latin-1": ("txt", b"caf\xe9", "it is not UTF-8: byte 3 is 0xe9"),
    "broken JSON": ("json", b'{"a": ', "it is not valid json: Expecting value: line 1 column 7 (char 6)"),
    "empty JSON": ("json", b"", "it is empty"),
}


@pytest.mark.parametrize("case", CONTENT)
def test_what_was_bad_from_the_beginning_is_found(tmp_path: Path, case: str) -> None:
    member, content, what = CONTENT[case]
    (tmp_path / "a.tar").write_bytes(tar({"0.cls": b"1", f"0.{member}": content}))
    index(tmp_path)
    (found,) = findings(tmp_path)
    assert found.startswith(f"a.tar, record 0 (0), {member}: {what}")


SAID: dict[str, tuple[dict[str, object], str]] = {
    "a smaller greatest token": ({"largest": 400}, "largest of its arrays is 70000 where the manifest says 400"),
    "another type": ({"dtype": "<u2"}, "dtype of its arrays is '<u4' where the manifest says '<u2'"),
    "other rows": ({"width": 4}, "width of its arrays is 2 where the manifest says 4"),
    "fewer values": ({"values": 1}, "values of its arrays is 4 where the manifest says 1"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_a_manifest_says_of_arrays_is_held_against_them(tmp_path: Path, case: str) -> None:
    array, what = SAID[case]
    (tmp_path / "a.tar").write_bytes(tar({"0.npy": npy(np.array([[1, 70_000], [2, 3]], np.uint32))}))
    index(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for members in (manifest["members"], manifest["shards"][0]["members"]):
        members["npy"]["array"] |= array
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert findings(tmp_path) == [f"a.tar, npy: {what}"]


def test_a_key_of_the_index_that_is_no_text_is_found(tmp_path: Path) -> None:
    index(captioned(tmp_path, shards=1))
    rows = np.load(tmp_path / "000000.idx")
    rows[1]["key"] = b"\xff00001"
    with open(tmp_path / "000000.idx", "wb") as file:
        np.save(file, rows)
    assert findings(tmp_path) == ["000000.tar, record 1 (000001): the index has record '�00001' in its place"]


def test_an_index_that_begins_like_a_zip_archive_is_found(tmp_path: Path) -> None:
    index(captioned(tmp_path, shards=1))
    with_bytes(tmp_path / "000000.idx", 0, b"PK\x03\x04")
    (found,) = findings(tmp_path)
    assert found.startswith("000000.tar: 000000.idx: it cannot be read: ")


def test_names_are_shown_without_what_a_terminal_would_act_upon(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar({"1\x1b[2J.a\nb.json": b"{"}))
    index(tmp_path)
    (found,) = findings(tmp_path)
    assert found.startswith(r"a.tar, record 0 ('1\x1b[2J'), 'a\nb.json': it is not valid json")


@pytest.mark.parametrize("content", [b"", "ü".encode()])
def test_texts_may_be_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(tar({"0.txt": content, "0.npy": npy(np.zeros(3))}))
    index(tmp_path)
    assert findings(tmp_path) == []


def test_a_tar_without_a_record_beside_others_is_no_fault(tmp_path: Path) -> None:
    captioned(tmp_path, shards=2)
    (tmp_path / "000001.tar").write_bytes(tar({}))
    (tmp_path / "000002.tar").write_bytes(tar({"folder/README": b"no dot in the name"}))
    manifest = index(tmp_path)
    assert [shard.records for shard in manifest.shards] == [5, 0, 0]
    assert findings(tmp_path) == []
    (source,) = targets.find(str(tmp_path), "").sources
    assert isinstance(source, targets.SampleSource)
    assert [sample.key for number in range(3) for sample in source.shards.scan(number)] == [
        f"{n:06d}" for n in range(5)
    ]
    assert source.shards.read(4).members["txt"] == b"caption of image 4"


def test_a_missing_caption_is_no_fault_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar({"0.jpg": image(), "0.txt": b"a", "1.jpg": image(1)}))
    index(tmp_path)
    assert findings(tmp_path) == []
    (source,) = targets.find(str(tmp_path), "").sources
    assert isinstance(source, targets.SampleSource)
    assert list(verify.missing_members(source)) == [
        f"txt (text) is missing in 1 of 2 records: file://{tmp_path}/a.tar, record 1"
    ]


class TestTokens:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        token_runs.write_source(Storage(str(tmp_path)), "even", seed=1, train=20)
        return tmp_path / layout.shards(token_runs.UPSTREAM["Encode"], "even")

    def test_whole_shards_have_no_fault(self, folder: Path) -> None:
        assert findings(folder) == []

    def test_a_flipped_token_is_found(self, folder: Path) -> None:
        row = np.load(folder / "000000.idx")[0]
        with_bytes(folder / "000000.tar", int(row["tokens_offset"] + row["tokens_length"]) - 2, b"\xff\xff")
        found = findings(folder)
        assert [f.partition(": ")[0] for f in found] == [
            "000000.tar, record 0 (00000000), tokens.npy",
            "000000.tar, record 0 (00000000), tokens.npy",
            "000000.tar",
        ]
        assert found[1].endswith("it has the token 65535; the vocabulary ends at 60")

    def test_the_index_of_another_shard_is_found(self, folder: Path) -> None:
        (folder / "000000.idx").write_bytes((folder / "validation" / "000000.idx").read_bytes())
        assert findings(folder) == [
            "000000.tar: 000000.idx: index 000000.idx counts 8 samples where the manifest says 20: not this shard's. Let Encode "
            "write it again: remove its record in stages/encode."
        ]

    def test_an_index_that_leads_elsewhere_is_found(self, folder: Path) -> None:
        rows = np.load(folder / "000000.idx")
        rows[0]["tokens_offset"] += 512
        with open(folder / "000000.idx", "wb") as file:
            np.save(file, rows)
        assert "000000.tar, record 0 (00000000), tokens.npy: it does not lie where the index says" in findings(folder)

    def test_a_missing_index_is_found(self, folder: Path) -> None:
        (folder / "validation" / "000000.idx").unlink()
        assert findings(folder) == [
            "validation/000000.tar: validation/000000.idx: the index is missing. Let Encode write it again: remove its record "
            "in stages/encode."
        ]
