import functools
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.tars import captioned, tar

from pretrain_api.errors import UserError
from pretrain_api.samples import SampleManifest
from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.indexing import places, work


class Patient:
    def check_stopping(self) -> None:
        pass


def index(*patterns: str, to: str = "", processes: int = 1) -> tuple[SampleManifest, list[UserError]]:
    return work.index(places.find(patterns, to), "", processes, "", Patient())


def written(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.suffix in (".idx", ".json")}


class TestIndex:
    def test_writes_an_index_for_each_tar_and_one_manifest(self, tmp_path: Path) -> None:
        manifest, _ = index(str(captioned(tmp_path)))
        assert sorted(written(tmp_path)) == ["000000.idx", "000001.idx", "000002.idx", "manifest.json"]
        assert SampleManifest.model_validate_json((tmp_path / "manifest.json").read_bytes()) == manifest
        assert (manifest.records, manifest.samples) == (15, 15)
        assert {name: (m.kind, m.records) for name, m in manifest.members.items()} == {
            "jpg": ("image", 15),
            "txt": ("text", 15),
        }
        assert [len(np.load(tmp_path / shard.index)) for shard in manifest.shards] == [5, 5, 5]

    def test_again_and_with_more_processes_it_writes_the_same_bytes(self, tmp_path: Path) -> None:
        index(str(captioned(tmp_path)))
        first = written(tmp_path)
        index(str(tmp_path))
        assert written(tmp_path) == first
        for path in first:
            (tmp_path / path).unlink()
        index(str(tmp_path), processes=2)
        assert written(tmp_path) == first

    def test_goes_on_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only the tar that changed is read again; a start that was killed leaves its notes to the next."""
        captioned(tmp_path)
        reads = list[str]()
        once = work.index_tar
        monkeypatch.setattr(work, "index_tar", lambda stream, where: reads.append(where[-10:]) or once(stream, where))
        (tmp_path / "000002.tar").rename(tmp_path / "away")
        (tmp_path / "000002.tar").write_bytes(b"cut")
        assert [fault.code for fault in index(str(tmp_path))[1]] == ["not-a-tar"]
        assert not (tmp_path / "manifest.json").exists()
        (tmp_path / "away").replace(tmp_path / "000002.tar")
        index(str(tmp_path))
        assert reads == ["000000.tar", "000001.tar", "000002.tar", "000002.tar"]
        os.utime(tmp_path / "000001.tar", ns=(1, 1))
        index(str(tmp_path))
        assert reads[4:] == ["000001.tar"]

    def test_tars_below_several_folders_have_one_manifest_above_them(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            captioned(tmp_path / name, shards=1)
        manifest, _ = index(f"{tmp_path}/*/*.tar")
        assert [(s.name, s.index) for s in manifest.shards] == [
            ("a/000000.tar", "a/000000.idx"),
            ("b/000000.tar", "b/000000.idx"),
        ]
        assert (tmp_path / "manifest.json").exists()

    def test_beside_braces_and_elsewhere(self, tmp_path: Path) -> None:
        captioned(tmp_path / "in", shards=12)
        manifest, _ = index(f"{tmp_path}/in/{{000000..000009}}.tar", to=str(tmp_path / "out"))
        assert [s.name for s in manifest.shards] == [f"file://{tmp_path}/in/{i:06d}.tar" for i in range(10)]
        assert sorted(written(tmp_path)) == [*(f"out/{i:06d}.idx" for i in range(10)), "out/manifest.json"]

    def test_more_tars_join_those_that_are_indexed(self, tmp_path: Path) -> None:
        captioned(tmp_path, shards=1)
        index(str(tmp_path))
        captioned(tmp_path, shards=2)
        assert index(str(tmp_path))[0].records == 10

    @pytest.mark.parametrize("damage", ["cut", "of another kind", "binary", "a folder"])
    def test_a_tar_whose_note_is_damaged_is_not_done(self, tmp_path: Path, damage: str) -> None:
        index(str(captioned(tmp_path, shards=1)))
        whole = written(tmp_path)
        (tmp_path / "manifest.json").unlink()
        note = tmp_path / ".indexing" / "000000.idx.json"
        note.parent.mkdir()
        if damage == "a folder":
            note.mkdir()
        else:
            note.write_bytes({"cut": b'{"name": "0000', "of another kind": b"[]", "binary": bytes(range(256))}[damage])
        index(str(tmp_path))
        assert written(tmp_path) == whole

    @pytest.mark.parametrize("left", [b"", b"\x93NUMPY, and then the disk was full"])
    def test_a_damaged_index_is_written_again(self, tmp_path: Path, left: bytes) -> None:
        index(str(captioned(tmp_path, shards=1)))
        whole = written(tmp_path)
        (tmp_path / "manifest.json").unlink()
        (tmp_path / "000000.idx").write_bytes(left)
        index(str(tmp_path))
        assert written(tmp_path) == whole

    def test_members_may_have_names_of_any_script(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar({"0.größe": b"1", "1.größe": b"2"}))
        manifest, _ = index(str(tmp_path))
        assert list(manifest.members) == ["größe"]
        assert SampleShards(str(tmp_path / "manifest.json")).read(1).members == {"größe": b"2"}


class TestWebServer:
    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        captioned(tmp_path / "www", shards=2)
        handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    def test_its_tars_are_indexed_elsewhere(self, tmp_path: Path, url: str) -> None:
        manifest, _ = index(f"{url}/{{000000..000001}}.tar", to=str(tmp_path / "out"))
        assert [s.name for s in manifest.shards] == [f"{url}/000000.tar", f"{url}/000001.tar"]
        beside, _ = index(str(tmp_path / "www"))
        assert [s.sha256 for s in beside.shards] == [s.sha256 for s in manifest.shards]
        names = ["out/000000.idx", "out/000001.idx"]
        assert [(tmp_path / n).read_bytes() for n in names] == [
            (tmp_path / n.replace("out", "www")).read_bytes() for n in names
        ]

    def test_tars_that_differ_in_their_query_alone_need_a_folder_each(self, tmp_path: Path, url: str) -> None:
        both = [f"{url}/000000.tar?part={part}" for part in range(2)]
        with pytest.raises(UserError) as refused:
            index(*both, to=str(tmp_path / "out"))
        assert str(refused.value) == (
            f"URI: {both[0]} and {both[1]} would have one index, 000000.idx. Index them one after the other, each with a "
            "folder of its own in --to. [index-place]"
        )
        for part, address in enumerate(both):
            assert index(address, to=str(tmp_path / f"{part}"))[0].records == 5


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_manifest_names_no_time_of_its_own(tmp_path: Path) -> None:
    index(str(captioned(tmp_path)))
    assert set(json.loads((tmp_path / "manifest.json").read_bytes())) == {
        "kind", "version", "tokenizer_sha256", "records", "samples", "bytes", "members", "shards",
    }  # fmt: skip
