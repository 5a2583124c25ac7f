"""Collect: what it reads, what it records, and that neither parallelism nor kills change a byte."""

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from support.corpora import write_wet
from support.data_stages import DataStages, a_source, recorded_writes
from support.eventually import eventually

from pretrain_api import layout
from pretrain_api.stages import Flow, Stage
from pretrain_trainer.documents import parts, units

TEXTS = [f"Document number {n}, with an ü and a 漢 in it." for n in range(5)]


def lines(texts: list[str], **more: Any) -> bytes:
    return "".join(json.dumps({"text": text, **more}) + "\n" for text in texts).encode()


def collect(tmp_path: Path, documents: Path | str, source: dict[str, Any] | None = None, **data: Any) -> DataStages:
    stages = DataStages(tmp_path, {"sources": [a_source(documents, **(source or {}))], **data})
    stages.succeed(Stage.COLLECT)
    return stages


def content(stages: DataStages) -> dict[str, str]:
    """Checksums of everything the stages left but their completion records, which hold times."""
    root = Path(stages.storage.root)
    return {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in stages.left()
        if not name.startswith("stages/")
    }


class TestFormats:
    @pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
    @pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet", "wet"])
    def test_every_format_and_compression_gives_the_same_documents(
        self, tmp_path: Path, kind: str, ending: str
    ) -> None:
        texts = TEXTS[:1] if kind == "txt" else TEXTS
        plain = tmp_path / f"plain.{kind}"
        if kind == "txt":
            plain.write_text(texts[0])
        elif kind == "jsonl":
            plain.write_bytes(lines(texts))
        elif kind == "parquet":
            pq.write_table(pa.table({"text": texts}), plain, row_group_size=2)
        else:
            write_wet(plain, texts)
            plain.write_bytes(gzip.decompress(plain.read_bytes()))
        pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[ending]
        file = tmp_path / f"file.{kind}{ending}"
        file.write_bytes(pack(plain.read_bytes()))
        assert collect(tmp_path, file).texts(Stage.COLLECT) == texts

    def test_files_of_several_members_and_frames(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl.gz").write_bytes(b"".join(gzip.compress(lines([text])) for text in TEXTS))
        (tmp_path / "b.jsonl.zst").write_bytes(b"".join(zstandard.compress(lines([text])) for text in TEXTS))
        assert collect(tmp_path, tmp_path / "*.jsonl.*").texts(Stage.COLLECT) == TEXTS * 2

    def test_lines_that_span_chunks_and_a_last_line_without_its_end(self, tmp_path: Path) -> None:
        texts = ["x" * (1 << 20), "y" * 3_000_000, "z"]
        (tmp_path / "a.jsonl").write_bytes(lines(texts).rstrip() + b"\r\n\n  \n" + lines(["end"]).strip())
        assert collect(tmp_path, tmp_path / "a.jsonl").texts(Stage.COLLECT) == [*texts, "end"]

    def test_nested_fields_of_jsonl_and_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text(json.dumps({"content": {"body": "one"}}) + "\n")
        pq.write_table(pa.table({"content": [{"body": "two", "other": 1}], "x": [1]}), tmp_path / "b.parquet")
        stages = collect(tmp_path, tmp_path / "*.*[lt]", {"fields": {"text": "content.body"}})
        assert stages.texts(Stage.COLLECT) == ["one", "two"]

    def test_a_byte_order_mark_is_taken_off(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbftext")
        assert collect(tmp_path, tmp_path / "a.txt").texts(Stage.COLLECT) == ["text"]

    def test_responses_of_a_warc_in_their_encoding_and_the_main_content_of_pages(self, tmp_path: Path) -> None:
        def response(kind: str, body: bytes, status: str = "200 OK") -> bytes:
            http = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            head = (
                "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/a\r\n"
                "WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000001>\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
            )
            return head.encode() + http + b"\r\n\r\n"

        page = (
            "<html><body><nav><a href='/'>Home</a></nav><main><h1>A title</h1><p>The naïve café opens at noon.</p>"
            "</main><footer>Imprint</footer><script>track()</script></body></html>"
        )
        records = (
            response("text/plain; charset=latin-1", b"caf\xe9")
            + response("text/html; charset=utf-8", page.encode())
            + response("text/html", b"<p>gone</p>", status="404 Not Found")
            + response("image/png", b"\x89PNG")
        )
        (tmp_path / "a.warc.gz").write_bytes(gzip.compress(records))
        stages = collect(tmp_path, tmp_path / "a.warc.gz")
        plain, html = stages.documents(Stage.COLLECT)
        assert (plain.text, plain.url) == ("café", "http://example.org/a")
        assert "The naïve café opens at noon." in html.text
        assert not re.search(r"[<>]|track|Imprint|Home", html.text)
        ignored = stages.record(Stage.COLLECT).details["sources"]["web"]["ignoredRecords"]
        assert ignored == {"HTTP status 404": 1, "image/png": 1}


class TestLocations:
    def test_globs_through_folders_in_one_order(self, tmp_path: Path) -> None:
        for name in ("b/2.txt", "a/1.txt", "a/b/0.txt", "c.md"):
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).write_text(name)
        stages = collect(tmp_path, f"file://{tmp_path}/in/**/*.txt")
        assert stages.texts(Stage.COLLECT) == ["a/1.txt", "a/b/0.txt", "b/2.txt"]
        assert [document.id for document in stages.documents(Stage.COLLECT)] == ["web/0/0", "web/1/0", "web/2/0"]

    def test_members_of_several_archives(self, tmp_path: Path) -> None:
        for archive in ("1", "2"):
            with zipfile.ZipFile(tmp_path / f"{archive}.zip", "w") as file:
                file.writestr("in/b.txt", f"{archive}b")
                file.writestr("in/a.txt", f"{archive}a")
                file.writestr("c.md", "no")
        assert collect(tmp_path / "zip", f"zip://**/*.txt::{tmp_path}/*.zip").texts(Stage.COLLECT) == [
            "1a", "1b", "2a", "2b",
        ]  # fmt: skip
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
            file.add(tmp_path / "1.zip", "1.zip")
            (tmp_path / "t.jsonl").write_bytes(lines(TEXTS))
            file.add(tmp_path / "t.jsonl", "in/t.jsonl")
        assert collect(tmp_path / "tar", f"tar://in/*.jsonl::{tmp_path}/a.tar.gz").texts(Stage.COLLECT) == TEXTS

    def test_the_library_and_the_manual_of_python(self, tmp_path: Path) -> None:
        stages = collect(tmp_path, "python://pydoc/*.txt")
        assert any("Lambdas" in text for text in stages.texts(Stage.COLLECT))
        stages = collect(tmp_path / "lib", "python://lib/json/**/*.py")
        assert [document.url for document in stages.documents(Stage.COLLECT)] == [
            f"python://lib/json/{name}.py" for name in ("__init__", "decoder", "encoder", "scanner", "tool")
        ]

    def test_a_changed_file_gives_another_identity(self, tmp_path: Path) -> None:
        file = tmp_path / "a.jsonl"
        file.write_bytes(lines(TEXTS))
        stages = collect(tmp_path, file)
        first = stages.upstream[Stage.COLLECT]
        code, outcome = stages.run(Stage.COLLECT)
        assert (code, outcome.skipped, outcome.fingerprint) == (0, True, first)
        assert (outcome.flow.documents_in, outcome.flow.documents_out) == (len(TEXTS), len(TEXTS))
        file.write_bytes(lines([*TEXTS, "one more"]))
        stages.succeed(Stage.COLLECT)
        assert stages.upstream[Stage.COLLECT] != first


class TestCounts:
    def test_bad_documents_within_the_budget_are_skipped_and_counted(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(lines(TEXTS[:1]) + b"no\n[]\n" + lines(["  ", ""]) + lines(TEXTS[1:]))
        stages = collect(tmp_path, tmp_path / "a.jsonl", maxBadDocuments=2)
        record = stages.record(Stage.COLLECT)
        details = record.details["sources"]["web"]
        assert stages.texts(Stage.COLLECT) == TEXTS
        assert (details["bad"], details["empty"]) == (2, 2)
        assert details["badExamples"][0]["place"].endswith("a.jsonl, line 2")
        size = sum(len(text.encode()) for text in TEXTS)
        assert record.flow == Flow(documents_in=9, bytes_in=size + 2, documents_out=5, bytes_out=size)

    def test_the_budget_is_over_the_whole_job_whatever_the_parallelism(self, tmp_path: Path) -> None:
        sources = []
        for name in ("a", "b", "c"):
            (tmp_path / f"{name}.jsonl").write_bytes(lines(TEXTS) + f"bad {name}\n".encode() * 2)
            sources.append(a_source(tmp_path / f"{name}.jsonl", name))
        messages = set()
        for parallelism in (1, 3):
            data = {"sources": sources, "maxBadDocuments": 5}
            code, outcome = DataStages(tmp_path / str(parallelism), data, parallelism).run(Stage.COLLECT)
            assert (code, outcome.code) == (2, "too-many-bad-documents")
            messages.add(outcome.message)
        assert len(messages) == 1
        data = {"sources": sources, "maxBadDocuments": 6}
        DataStages(tmp_path / "enough", data, 3).succeed(Stage.COLLECT)

    def test_documents_of_a_licence_that_is_not_allowed_are_dropped_by_name(self, tmp_path: Path) -> None:
        file = tmp_path / "a.jsonl"
        file.write_bytes(lines(["m"], l="MIT") + lines(["g", "g"], l="GPL-3.0") + lines(["n"], l=None) + lines(["n"]))
        source = {"fields": {"license": "l"}}
        stages = collect(tmp_path, file, source, allowedLicenses=["MIT"])
        assert [(d.text, d.license) for d in stages.documents(Stage.COLLECT)] == [("m", "MIT")]
        refused = stages.record(Stage.COLLECT).details["sources"]["web"]["refusedLicenses"]
        assert refused == {"GPL-3.0": 2, "(none stated)": 2}

    def test_provenance_has_every_file_with_its_checksum(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines(TEXTS)))
        stages = collect(tmp_path, tmp_path / "*.gz", {"license": "MIT"})
        folder = layout.documents(stages.upstream[Stage.COLLECT], "web")
        recorded = [json.loads(line) for line in stages.storage.read_bytes(f"{folder}/provenance.jsonl").splitlines()]
        for name, file in zip(("a", "b"), recorded, strict=True):
            path = tmp_path / f"{name}.jsonl.gz"
            assert file["url"] == f"file://{path}"
            assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert (file["bytes"], file["documents"], file["license"]) == (path.stat().st_size, 5, "MIT")


class TestParts:
    @pytest.fixture
    def corpus(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """Two sources of several units; the first file makes several parts."""
        monkeypatch.setattr(units, "UNIT_BYTES", 60_000)
        monkeypatch.setattr(parts, "PART_BYTES", 30_000)
        monkeypatch.setattr(parts, "ROW_GROUP_BYTES", 9_000)
        for name, count in (("a0", 90), ("a1", 30), ("a2", 30), ("b0", 10)):
            (tmp_path / f"{name}.jsonl").write_bytes(lines([f"{name} {n} " + "word " * 300 for n in range(count)]))
        return [a_source(tmp_path / "a*.jsonl", "a"), a_source(tmp_path / "b*.jsonl", "b")]

    def test_parts_are_bounded_and_keep_the_order(self, tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
        stages = DataStages(tmp_path / "x", {"sources": corpus})
        stages.succeed(Stage.COLLECT)
        names = parts.names(stages.storage, stages.upstream[Stage.COLLECT], "a")
        short = [name.rsplit("/", 1)[-1] for name in names]
        assert short[:5] == [f"000000-{n:04d}.parquet" for n in range(5)]
        assert short[5:] == ["000001-0000.parquet", "000001-0001.parquet", "000001-0002.parquet", "000001-0003.parquet"]
        texts = stages.texts(Stage.COLLECT, "a")
        assert [text.split()[:2] for text in texts] == [
            [name, str(n)] for name, count in (("a0", 90), ("a1", 30), ("a2", 30)) for n in range(count)
        ]
        with stages.storage.fs.open(stages.storage.path(names[0]), "rb") as file:
            assert pq.ParquetFile(file).num_row_groups == 4

    def test_a_stage_that_broke_off_finds_its_parts(
        self, tmp_path: Path, corpus: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = DataStages(tmp_path / "whole", {"sources": corpus})
        whole.succeed(Stage.COLLECT)
        broken = DataStages(tmp_path / "broken", {"sources": corpus})
        with monkeypatch.context() as patch:
            before = recorded_writes(patch, stop_after=6)
            assert broken.run(Stage.COLLECT)[0] == 1
        with monkeypatch.context() as patch:
            after = recorded_writes(patch)
            broken.succeed(Stage.COLLECT)
        finished = {name for name in before if name.endswith(".parquet")}
        assert finished
        assert not finished.intersection(after), "a finished part was written again"
        assert content(broken) == content(whole)


def test_parallelism_and_kills_change_no_byte(tmp_path: Path) -> None:
    sources = []
    for name in "abcd":
        (tmp_path / f"{name}.jsonl.zst").write_bytes(
            zstandard.compress(lines([f"{name} {n} " + "some words " * 200 for n in range(300)]))
        )
        sources.append(a_source(tmp_path / f"{name}.jsonl.zst", name))
    one = DataStages(tmp_path / "one", {"sources": sources})
    one.succeed(Stage.COLLECT)
    killed = DataStages(tmp_path / "killed", {"sources": sources}, parallelism=2)
    process = subprocess.Popen([sys.executable, "-m", "pretrain_trainer", *killed.arguments(Stage.COLLECT)])
    eventually(lambda: any(name.endswith(".unit.json") for name in killed.left()))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not [name for name in killed.left() if name.startswith("stages/")]
    killed.succeed(Stage.COLLECT)
    finished = {name: sha for name, sha in content(killed).items() if not name.endswith(".tmp")}
    assert finished == content(one)
