"""Tars that cannot be indexed: each is told with its place, what is wrong and what to do."""

import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.tars import captioned, npy, tar, tar_of_one

from pretrain_api import manifests
from pretrain_api.errors import UserError
from pretrain_trainer.documents import braces
from pretrain_trainer.indexing import places, work
from pretrain_trainer.indexing.shard import index_tar

WHOLE = tar({"0001.jpg": b"j" * 2000, "0001.txt": b"a cat"})
"""Two members: headers at 0 and 2560, content at 512 and 3072, zeros from 3584 on."""


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "hello" * 200)
    return out.getvalue()


def with_pax(records: bytes, size: int | None = None) -> bytes:
    """A file with a pax header of these records before it, in the second block; `size` is the header's own."""
    header, file = tarfile.TarInfo("pax"), tarfile.TarInfo("1.txt")
    header.type, header.size, file.size = tarfile.XHDTYPE, len(records) if size is None else size, 3
    blocks = header.tobuf(tarfile.USTAR_FORMAT), records, file.tobuf(tarfile.USTAR_FORMAT), b"abc", bytes(1024)
    return b"".join(block + bytes(-len(block) % 512) for block in blocks)


def pax_record(keyword: str, value: str) -> bytes:
    """As POSIX has it, with its own length before it: of two digits here."""
    rest = f" {keyword}={value}\n".encode()
    return f"{len(rest) + 2}".encode() + rest


def unreadable_pax(why: str) -> str:
    return (
        f"x.tar: the pax header at byte 0 cannot be read: {why}. Supply the tar again, or write it again. [tar-damaged]"
    )


def object_array() -> bytes:
    return npy(np.array([{"a": 1}, None], dtype=object))


BAD_TARS: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "x.tar: the file is empty. Supply the whole tar. [not-a-tar]"),
    "zip": (
        zipped(),
        "x.tar: the file is no tar; it is a zip archive. Write the address of a plain tar (records of compressed ones "
        "cannot be read one by one). [not-a-tar]",
    ),
    "gzip under the name of a tar": (
        gzip.compress(WHOLE),
        "x.tar: the file is no tar; it is compressed with gzip. Write the address of a plain tar (records of compressed "
        "ones cannot be read one by one). [not-a-tar]",
    ),
    "web page": (
        b"<!DOCTYPE html><html><body>Sign in to download</body></html>" * 20,
        "x.tar: the file is no tar; it is a web page, such as a server's error message. Write the address of a plain tar "
        "(records of compressed ones cannot be read one by one). [not-a-tar]",
    ),
    "short web page": (
        b"<html>404</html>",
        "x.tar: the file is no tar; it is a web page, such as a server's error message. Write the address of a plain tar "
        "(records of compressed ones cannot be read one by one). [not-a-tar]",
    ),
    "noise": (
        bytes(range(1, 256)) * 5,
        "x.tar: the file is no tar. Write the address of a plain tar (records of compressed ones cannot be read one by "
        "one). [not-a-tar]",
    ),
    "cut within a member": (
        WHOLE[:1500],
        "x.tar: the tar is cut short: it ends within member 0001.jpg, which has 2000 bytes. Supply the whole tar. "
        "[tar-truncated]",
    ),
    "cut within a header": (
        WHOLE[:2700],
        "x.tar: the tar is cut short: it ends within a header. Supply the whole tar. [tar-truncated]",
    ),
    "cut between members": (
        WHOLE[:2560],
        "x.tar: the tar is cut short: it does not end with the blocks of zeros that close a tar. Supply the whole tar. "
        "[tar-truncated]",
    ),
    "cut in the padding of a member": (
        WHOLE[:2530],
        "x.tar: the tar is cut short: it does not end with the blocks of zeros that close a tar. Supply the whole tar. "
        "[tar-truncated]",
    ),
    "cut within a long name": (
        tar({f"{'a' * 200}.txt": b"x"})[:700],
        "x.tar: the tar is cut short: it ends within a header. Supply the whole tar. [tar-truncated]",
    ),
    "damaged header": (
        WHOLE[:2560] + b"\x01" * 512 + WHOLE[3072:],
        "x.tar: at byte 2560 a header is expected and there is none (invalid header). Supply the tar again, or write it "
        "again with a library that pads every member. [tar-damaged]",
    ),
    "joined with cat": (
        WHOLE + WHOLE,
        "x.tar: more data follow the end of the archive at byte 4096, as where tars were joined with cat. Index the tars "
        "one by one, or join them with tar --concatenate. [tar-concatenated]",
    ),
    "pax header of noise": (with_pax(b"\xff\xff garbage"), unreadable_pax("there is no record at byte 0 of its 10")),
    "pax header of zeros": (with_pax(bytes(600)), unreadable_pax("there is no record at byte 0 of its 600")),
    "pax header with a damaged record behind a whole one": (
        with_pax(pax_record("comment", "a") + b"\x00" + pax_record("path", "2.txt")[1:]),
        unreadable_pax("there is no record at byte 13 of its 27"),
    ),
    "pax record longer than its header": (
        with_pax(b"99999999999999999999 path=x\n"),
        unreadable_pax("there is no record at byte 0 of its 28"),
    ),
    "pax record of no length": (
        with_pax(b"0 path=x\n"),
        unreadable_pax("there is no record at byte 0 of its 9"),
    ),
    "pax map of a sparse file that is none": (
        with_pax(pax_record("GNU.sparse.map", "1,2,x")),
        unreadable_pax("invalid literal for int() with base 10: 'x'"),
    ),
    "pax size of a sparse file that is none": (
        with_pax(pax_record("GNU.sparse.size", "zz")),
        unreadable_pax("invalid literal for int() with base 10: 'zz'"),
    ),
    "pax header cut short": (
        with_pax(pax_record("path", "2.txt"))[:520],
        "x.tar: the tar is cut short: it ends within a header. Supply the whole tar. [tar-truncated]",
    ),
    "size below zero": (
        with_pax(pax_record("size", "-50")),
        "x.tar: the size of member 1.txt is -50 bytes by its header. Supply the tar again, or write it again. [tar-damaged]",
    ),
    "names with what a terminal would act upon": (
        tar({"1.\x1b[2J\n.txt": b"x"})[:512],
        r"x.tar: the tar is cut short: it ends within member '1.\x1b[2J\n.txt', which has 1 bytes. Supply the whole tar. "
        "[tar-truncated]",
    ),
    "name twice": (
        tar([("0001.jpg", b"a"), ("0001.jpg", b"b")]),
        "x.tar: the name '0001.jpg' stands in it twice. Write the tar again with other names. [member-twice]",
    ),
    "name twice but for its case": (
        tar({"0001.jpg": b"a", "0001.JPG": b"b"}),
        "x.tar: record '0001' has member jpg twice, in letters of another case. Write the tar again with other names. "
        "[member-twice]",
    ),
    "record divided": (
        tar({"0001.jpg": b"a", "0002.jpg": b"b", "0001.txt": b"c"}),
        "x.tar: the files of record '0001' are not neighbours: 0001.txt comes after those of other records. Write the tar "
        "again sorted by name (tar --sort=name); webdataset would take them for two records. [record-divided]",
    ),
    "name that leads out": (
        tar({"../../etc/passwd.txt": b"a"}),
        "x.tar: the name '../../etc/passwd.txt' leads out of the archive. Write the tar again with relative names and "
        "without '..'. [member-name]",
    ),
    "absolute name": (
        tar({"/etc/passwd.txt": b"a"}),
        "x.tar: the name '/etc/passwd.txt' leads out of the archive. Write the tar again with relative names and without "
        "'..'. [member-name]",
    ),
    "name in Latin-1": (
        tar({"caf\udce9.txt": b"a"}),
        "x.tar: the name b'caf\\xe9.txt' is not UTF-8. Write the tar again with names in UTF-8. [member-name]",
    ),
    "symbolic link": (
        tar_of_one(tarfile.SYMTYPE, "/etc/passwd"),
        "x.tar: member a.txt is a symbolic link to /etc/passwd, which has no content of its own to read. Write the tar "
        "again with the files themselves (tar --dereference --hard-dereference). [member-kind]",
    ),
    "hard link": (
        tar_of_one(tarfile.LNKTYPE, "b.txt"),
        "x.tar: member a.txt is a hard link to b.txt, which has no content of its own to read. Write the tar again with "
        "the files themselves (tar --dereference --hard-dereference). [member-kind]",
    ),
    "device": (
        tar_of_one(tarfile.CHRTYPE),
        "x.tar: member a.txt is a device or a pipe, which has no content of its own to read. Write the tar again with the "
        "files themselves (tar --dereference --hard-dereference). [member-kind]",
    ),
    "pickled objects": (
        tar({"0001.npy": object_array()}),
        "x.tar, member 0001.npy: the array holds Python objects; reading them would run code of the file. Save it with a "
        "plain type, such as array.astype(numpy.uint16). [npy-objects]",
    ),
    "no array": (
        tar({"0001.npy": b"not an array at all"}),
        "x.tar, member 0001.npy: it is no whole NumPy array: the magic string is not correct; expected b'\\x93NUMPY', got "
        "b'not an'. Save it again with numpy.save. [npy-broken]",
    ),
    "array of no bytes": (
        tar({"0001.npy": b""}),
        "x.tar, member 0001.npy: it is no whole NumPy array: EOF: reading magic string, expected 8 bytes got 0. Save it "
        "again with numpy.save. [npy-broken]",
    ),
    "array cut short": (
        tar({"0001.npy": npy(np.zeros(100, np.uint16))[:-10]}),
        "x.tar, member 0001.npy: it is no whole NumPy array: shape (100,) of uint16 takes 200 bytes, and there are 190. "
        "Save it again with numpy.save. [npy-broken]",
    ),
    "array in Fortran's order": (
        tar({"0001.npy": npy(np.asfortranarray(np.zeros((3, 4), np.uint16)))}),
        "x.tar, member 0001.npy: the array is in Fortran's order. Save it with numpy.ascontiguousarray(array). [npy-order]",
    ),
    "names that NumPy would not read again": (
        tar({f"1.{i}{'m' * 60}": b"a" for i in range(50)}),
        "x.tar: the names of its 50 different members are too long for one index. Write the tar again with names like "
        "000001.jpg and 000001.txt. [too-many-members]",
    ),
    "numbers behind the first dot": (
        tar({f"img.{i:04d}.jpg": b"a" for i in range(70)}),
        "x.tar: its records have more than 64 different members (0000.jpg, 0001.jpg, 0002.jpg ...): all behind the first "
        "dot of a file name is taken for the member, here of record 'img'. Write the tar again with names like 000001.jpg "
        "and 000001.txt. [too-many-members]",
    ),
}


@pytest.mark.parametrize("case", BAD_TARS)
def test_a_bad_tar_is_refused(case: str) -> None:
    content, message = BAD_TARS[case]
    with pytest.raises(UserError) as refused:
        index_tar(io.BytesIO(content), "x.tar")
    assert str(refused.value) == message


def test_an_array_that_is_too_large_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pretrain_trainer.indexing.shard.MOST_ARRAY_BYTES", 100)
    with pytest.raises(UserError) as refused:
        index_tar(io.BytesIO(tar({"0001.npy": npy(np.zeros(100, np.uint8))})), "x.tar")
    assert str(refused.value) == (
        "x.tar, member 0001.npy: the array has 228 bytes; at most 100 can be read at once. Divide it into records of "
        "256 KiB to 1 MiB. [array-too-large]"
    )


def compressed(folder: Path) -> str:
    (folder / "a.tar.gz").write_bytes(gzip.compress(WHOLE))
    return str(folder / "a.tar.gz")


def parquet(folder: Path) -> str:
    (folder / "a.parquet").write_bytes(b"PAR1")
    return str(folder / "a.parquet")


def other_tars_indexed(folder: Path) -> str:
    captioned(folder, shards=1)
    assert work.index(places.find([str(folder)], ""), "", 1, "", Patient())[1] == []
    (folder / "b.tar").write_bytes(WHOLE)
    return str(folder / "b.tar")


def encoded(folder: Path) -> str:
    captioned(folder, shards=1)
    split = {"shards": [], "samples": 0, "tokens": 0, "documents": 0, "text_bytes": 0}
    manifest = {
        "version": 1, "fingerprint": "f", "source": "web", "sequence_length": 8, "samples_per_record": 1,
        "dtype": "uint16", "vocab_size": 9, "tokenizer_sha256": "", "end_of_text": 0, "padding": 0,
        "train": split, "validation": split,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


def index_of_dali(folder: Path) -> str:
    (captioned(folder, shards=1) / "000000.idx").write_text("v1.2 5\njpg 512 1200 000000.jpg\n")
    return str(folder)


def index_is_a_folder(folder: Path) -> str:
    (captioned(folder, shards=1) / "000000.idx").mkdir()
    return str(folder)


def notes_are_a_file(folder: Path) -> str:
    (captioned(folder, shards=1) / ".indexing").write_text("mine")
    return str(folder)


def manifest_is_a_folder(folder: Path) -> str:
    (captioned(folder, shards=1) / "manifest.json").mkdir()
    return str(folder)


def pipe_among_them(folder: Path) -> str:
    os.mkfifo(captioned(folder, shards=1) / "000001.tar")
    return str(folder)


def folder_among_them(folder: Path) -> str:
    (captioned(folder, shards=1) / "000001.tar").mkdir()
    return str(folder)


def two_colons(folder: Path) -> str:
    captioned(folder, shards=1)
    (folder / "000000.tar").rename(folder / "x::y.tar")
    return str(folder)


def no_records(folder: Path) -> str:
    (folder / "a.tar").write_bytes(tar({}))
    (folder / "b.tar").write_bytes(tar({"README": b"a"}))
    return str(folder)


BAD_PLACES: dict[str, tuple[Callable[[Path], str], str]] = {
    "compressed tar": (
        compressed,
        "file://DIR/a.tar.gz: the tar is compressed, so its records cannot be read one by one. Decompress it and index the "
        ".tar; images are compressed already. As spec.data.sources[].documents it can be read as it is. [compressed-tar]",
    ),
    "another kind of file": (
        parquet,
        "file://DIR/a.parquet: the name does not end in .tar. Write the address of .tar files alone. [not-a-tar]",
    ),
    "nothing there": (
        lambda folder: f"{folder}/none.tar",
        "URI: DIR/none.tar does not exist. Write the path or URL of existing files. [file-not-found]",
    ),
    "no tar in the folder": (str, "URI: DIR/*.tar matches no file. "),
    "braces left open": (
        lambda folder: f"{folder}/{{00..11}}{{.tar",
        "URI: the braces of DIR/{00..11}{.tar are not balanced. Write them as in shard-{000000..000099}.tar. [braces]",
    ),
    "endless braces": (
        lambda folder: f"{folder}/{{0..9999}}-{{0..9999}}.tar",
        "URI: DIR/{0..9999}-{0..9999}.tar stands for more than 1,000,000 addresses. Write a smaller range in the braces, or "
        "a glob. [braces]",
    ),
    "one tar of a range missing": (
        lambda folder: f"{captioned(folder, shards=1)}/{{000000..000009}}.tar",
        "URI: DIR/000001.tar does not exist. Write the path or URL of existing files. [file-not-found]",
    ),
    "a command": (
        lambda folder: "pipe:curl -s https://example.org/a.tar",
        "URI: pipe:curl -s https://example.org/a.tar is a command to run, not an address. Write the address of the tars "
        "itself: s3://, https:// or a path. [unknown-protocol]",
    ),
    "a file within an archive": (
        lambda folder: f"zip://a.tar::{folder}/x.zip",
        "URI: zip://a.tar::DIR/x.zip is a file within another one. Write the address of plain tars. [unknown-protocol]",
    ),
    "a second manifest in one folder": (
        other_tars_indexed,
        "file://DIR/manifest.json: the folder has a manifest of other tars: 000000.tar, which are not among those to index. "
        "Index all tars of the folder together, write --to with another folder, or remove the manifest. "
        "[manifest-of-others]",
    ),
    "token shards of Encode": (
        encoded,
        "file://DIR/manifest.json: the folder has a manifest of token shards, those of source web. Use it as it is: it needs "
        "no other index. Or write --to with another folder. [manifest-of-others]",
    ),
    "manifest that is a folder": (
        manifest_is_a_folder,
        "file://DIR/manifest.json: file://DIR/manifest.json is a folder.",
    ),
    "file in the place of what is done": (
        notes_are_a_file,
        "file://DIR/.indexing: it is a file, and the folder of what is done so far has this name. Move it away, or write --to "
        "with another folder. [index-of-others]",
    ),
    "pipe among the tars": (
        pipe_among_them,
        "URI: DIR/000001.tar is no regular file, and DIR/*.tar finds it. Move it away, or write a glob without it. "
        "[not-a-file]",
    ),
    "folder among the tars": (
        folder_among_them,
        "URI: DIR/000001.tar is a folder, and DIR/*.tar finds it. Move it away, or write a glob without it. [not-a-file]",
    ),
    "name that divides addresses": (
        two_colons,
        "file://DIR/x::y.tar: the name holds '::', by which addresses name files within others. Rename the tar. "
        "[unknown-protocol]",
    ),
    "nothing but files without a dot": (
        no_records,
        "DIR: no tar holds a record: they are empty, or no file has a dot in its name. Index tars with files such as "
        "000001.jpg and 000001.txt. [no-records]",
    ),
}


class Patient:
    def check_stopping(self) -> None:
        pass


@pytest.mark.parametrize("case", BAD_PLACES)
def test_bad_addresses_and_folders_are_refused(case: str, tmp_path: Path) -> None:
    make, message = BAD_PLACES[case]
    with pytest.raises(UserError) as refused:
        work.index(places.find([make(tmp_path)], ""), "", 1, "", Patient())
    assert (
        str(refused.value)
        .replace(str(tmp_path), "DIR")
        .replace("file://DIR: no tar", "DIR: no tar")
        .startswith(message)
    )


OTHERS_INDEXES: dict[str, tuple[Callable[[Path], str], str]] = {
    "DALI's": (index_of_dali, "it is no index of `pretrain index`, but another program's (DALI's?) or damaged."),
    "a folder": (index_is_a_folder, "it is a folder, and the index of the tar has this name."),
}


@pytest.mark.parametrize("case", OTHERS_INDEXES)
def test_what_others_wrote_in_the_place_of_an_index_is_left_as_it_is(case: str, tmp_path: Path) -> None:
    make, message = OTHERS_INDEXES[case]
    folder = make(tmp_path)
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()}
    _, faults = work.index(places.find([folder], ""), "", 1, "", Patient())
    assert [str(fault) for fault in faults] == [
        f"file://{tmp_path}/000000.idx: {message} Move it away, or write --to with another folder. [index-of-others]"
    ]
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()} == before


BAD_MANIFESTS: dict[str, tuple[bytes, str]] = {
    "another version": (
        b'{"version": 2, "shards": []}',
        "m.json: it is of version 2; this program reads version 1. Index the shards again with `pretrain index`, or use the "
        "version of pretrain-operator that wrote it. [manifest-version]",
    ),
    "no JSON": (
        b"<html>",
        "m.json: it is no JSON: Expecting value: line 1 column 1 (char 0). Write the address of a manifest.json that "
        "`pretrain index` or Encode wrote. [manifest-broken]",
    ),
    "other JSON": (
        b'{"index": []}',
        "m.json: it has no field version, so it is no manifest of shards. Write the address of a manifest.json that "
        "`pretrain index` or Encode wrote. [manifest-broken]",
    ),
    "a field missing": (
        b'{"version": 1, "kind": "samples"}',
        "m.json: records: Field required. Write the address of a manifest.json that `pretrain index` or Encode wrote. "
        "[manifest-broken]",
    ),
}


SHARD = {
    "name": "a.tar", "index": "a.idx", "bytes": 10, "sha256": "", "records": 1, "samples": 1, "skipped": 0,
    "members": {"txt": {"kind": "text", "records": 1, "bytes": 5}},
}  # fmt: skip
TOKEN_SHARD = {"name": "a.tar", "bytes": 10, "sha256": "", "records": 1, "samples": 4, "tokens": 32}


def of_samples(*shards: dict[str, object], **fields: object) -> bytes:
    """A manifest of these shards, which have the member of SHARD each."""
    n = len(shards)
    members = {"txt": {"kind": "text", "records": n, "bytes": 5 * n}}
    sums = {"records": n, "samples": n, "bytes": 10 * n, "members": members}
    return json.dumps({"version": 1, "kind": "samples", **sums, "shards": shards, **fields}).encode()


def of_tokens(train: list[dict[str, object]], validation: list[dict[str, object]]) -> bytes:
    splits = {
        split: {"shards": shards, "samples": 4 * len(shards)}
        for split, shards in (("train", train), ("validation", validation))
    }
    own = {
        "version": 1, "fingerprint": "f", "source": "web", "sequence_length": 8, "samples_per_record": 4, "dtype": "uint16",
        "vocab_size": 9, "tokenizer_sha256": "", "end_of_text": 0, "padding": 0,
    }  # fmt: skip
    return json.dumps({**own, **splits}).encode()


_WRITE = "Write the address of a manifest.json that `pretrain index` or Encode wrote. [manifest-broken]"
BAD_MANIFESTS |= {
    "brackets without end": (
        b"[" * 100_000,
        f"m.json: it is no JSON: maximum recursion depth exceeded while decoding a JSON array from a unicode string. {_WRITE}",
    ),
    "sums that are none": (
        of_samples(SHARD, records=2),
        f"m.json: the records of its shards are 1, not 2. {_WRITE}",
    ),
    "a tar twice": (of_samples(SHARD, SHARD), f"m.json: a.tar stands in it twice. {_WRITE}"),
    "a name that no file has": (
        of_samples(SHARD | {"name": "a\0.tar"}),
        rf"m.json: 'a\x00.tar' is the name of no file: it holds a zero byte, or is not UTF-8. {_WRITE}",
    ),
    "a name that is no text": (
        of_samples(SHARD | {"name": "a\ud800.tar"}),
        rf"m.json: 'a\ud800.tar' is the name of no file: it holds a zero byte, or is not UTF-8. {_WRITE}",
    ),
    "an index of two tars": (
        of_samples(SHARD, SHARD | {"name": "./a.tar"}),
        f"m.json: a.idx stands in it twice. {_WRITE}",
    ),
    "a kind that is none of the name's": (
        of_samples(SHARD | {"members": {"txt": {"kind": "image", "records": 1, "bytes": 5}}}),
        f"m.json: shards.0: member txt is of kind text, not image. {_WRITE}",
    ),
    "members that are not those of its shards": (
        of_samples(SHARD, members={"txt": {"kind": "text", "records": 1, "bytes": 6}}),
        f"m.json: what it says of all members txt is not what it says of them shard by shard. {_WRITE}",
    ),
    "a shard of tokens twice": (of_tokens([TOKEN_SHARD] * 2, []), f"m.json: a.tar stands in it twice. {_WRITE}"),
    "a shard to train on and held out": (
        of_tokens([TOKEN_SHARD], [TOKEN_SHARD]),
        f"m.json: a.tar stands in it twice. {_WRITE}",
    ),
}


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_a_bad_manifest_is_refused(case: str) -> None:
    content, message = BAD_MANIFESTS[case]
    with pytest.raises(UserError) as refused:
        manifests.parse(content, "m.json")
    assert str(refused.value) == message


def test_braces_without_range_or_list_are_letters() -> None:
    assert braces.expand("/data/{name}.tar", "URI") == ["/data/{name}.tar"]
