"""Bad inputs of Collect and Prepare: each gives one clear message, exit code 2, and leaves nothing behind."""

import gzip
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from support.corpora import write_wet
from support.data_stages import DataStages, a_source

from pretrain_api.errors import EXIT_FAILURE, EXIT_USER_ERROR
from pretrain_api.stages import Stage
from pretrain_trainer.documents import locations

LINE = json.dumps({"text": "A plain document about nothing in particular."}).encode() + b"\n"
NOISE = json.dumps({"text": os.urandom(30_000).hex()}).encode() + b"\n"


@dataclass(frozen=True)
class Case:
    """A bad input: the file and what is in it, what the job says beside it, and what the message must say."""

    name: str
    file: str
    content: bytes
    code: str
    says: tuple[str, ...]
    source: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    documents: str = ""
    """What the source's `documents` says, with {folder} for the folder; the file where it is empty."""


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def wet(tmp: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_wet(Path(folder) / "x", tmp)
        return (Path(folder) / "x").read_bytes()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, content)
    return buffer.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


IMAGES = (
    b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
    b"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000001>\r\nContent-Type: application/http\r\n"
    b"Content-Length: 57\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n<p>Hello</p>\n\r\n\r\n"
)
WET = gzip.decompress(wet(["the first record", "the second record"]))


def link_in_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        info = tarfile.TarInfo("a.txt")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        file.addfile(info)
    return buffer.getvalue()


LINK = link_in_tar()
TWICE = io.BytesIO()
pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), TWICE)
# Bit 0 of the flags, in the member's own header and in the directory.
ENCRYPTED = (
    zipped("a.txt", b"x")
    .replace(b"PK\x03\x04\x14\0\0", b"PK\x03\x04\x14\0\1")
    .replace(b"PK\x01\x02\x14\3\x14\0\0", b"PK\x01\x02\x14\3\x14\0\1")
)

CASES = [
    Case("missing file", "a.jsonl", LINE, "file-not-found", ("b.jsonl", "does not exist"), documents="{folder}/b.jsonl"),
    Case("missing folder", "a.jsonl", LINE, "empty-glob", ("matches no file",), documents="{folder}/no/*.jsonl"),
    Case("empty glob", "a.jsonl", LINE, "empty-glob", ("*.txt", "matches no file"), documents="{folder}/*.txt"),
    Case("folder instead of files", "a.jsonl", LINE, "folder-given", ("is a folder", "/*.txt"), documents="{folder}"),
    Case("unknown protocol", "a.jsonl", LINE, "unknown-protocol", ("nfs",), documents="nfs://server/a.jsonl"),
    Case("empty jsonl", "a.jsonl", b"", "no-documents", ("The 1 file of 'web' holds no document: it is empty",)),
    Case("empty text", "a.txt", b"", "no-documents", ("1 empty",)),
    Case("white space only", "a.txt", b" \n\t\n", "no-documents", ("1 empty",)),
    Case("empty parquet", "a.parquet", b"", "broken-parquet", ("a.parquet",)),
    Case("parquet without rows", "a.parquet", parquet(text=pa.array([], pa.string())), "no-documents", ("web",)),
    Case("empty gz", "a.jsonl.gz", b"", "truncated-file", ("empty",)),
    Case("empty zst", "a.txt.zst", b"", "truncated-file", ("empty",)),
    Case("empty warc", "a.warc", b"", "no-documents", ("web",)),
    Case("unknown ending", "a.dat", b"x", "unknown-format", ("a.dat", "jsonl", "spec.data.sources[0].format")),
    Case("truncated gz", "a.jsonl.gz", gzip.compress(LINE * 9 + NOISE)[:-900], "truncated-file", ("a.jsonl.gz",)),
    Case("truncated gz, second member", "a.txt.gz", gzip.compress(b"x") + gzip.compress(NOISE)[:-9], "truncated-file", ()),
    Case("truncated zst", "a.jsonl.zst", zstandard.compress(LINE * 9 + NOISE)[:-900], "truncated-file", ("a.jsonl.zst",)),
    Case("gz that is none", "a.jsonl.gz", LINE, "broken-compression", ("gzip",)),
    Case("zst that is none", "a.jsonl.zst", LINE, "broken-compression", ("zstd",)),
    Case("damaged gz", "a.txt.gz", gzip.compress(b"hello")[:-8] + b"\0" * 8, "broken-compression", ("gzip",)),
    Case("truncated parquet", "a.parquet", parquet(text=["x" * 99] * 99)[:-50], "broken-parquet", ("a.parquet",)),
    Case("parquet that is none", "a.parquet", LINE * 9, "broken-parquet", ("a.parquet",)),
    Case("parquet without the column", "a.parquet", parquet(body=["x"]), "missing-text-field", ("'text'", "body")),
    Case("parquet column of numbers", "a.parquet", parquet(text=[1]), "text-field-type", ("int64",)),
    Case("parquet null", "a.parquet", parquet(text=["x", None]), "missing-text-field", ("row 2", "null")),
    Case("truncated warc", "a.warc", WET[:-20], "truncated-file", ("a.warc",)),
    Case("truncated warc header", "a.warc", WET[:100], "truncated-file", ("a.warc",)),
    Case("truncated warc.gz", "a.wet.gz", gzip.compress(WET)[:-20], "truncated-file", ("a.wet.gz",)),
    Case("warc that is none", "a.warc", LINE * 9, "broken-warc", ("a.warc",)),
    Case("warc of images only", "a.warc", IMAGES, "no-documents", ("1 WARC record of type image/png",)),
    Case("invalid UTF-8 text", "a.txt", b"caf\xe9", "invalid-utf8", ("a.txt", "0xe9", "maxBadDocuments")),
    Case("UTF-16 text", "a.txt", "text".encode("utf-16"), "invalid-utf8", ("UTF-16",)),
    Case("invalid UTF-8 line", "a.jsonl", LINE + b'{"text": "\xff"}\n', "invalid-utf8", ("a.jsonl, line 2",)),
    Case("half a surrogate pair", "a.jsonl", b'{"text": "\\ud800"}\n', "invalid-utf8", ("line 1", "surrogate")),
    Case("broken JSON", "a.jsonl", LINE + b'{"text": "x\n', "broken-json", ("a.jsonl, line 2", "maxBadDocuments")),
    Case("JSON array", "a.jsonl", b"[1]\n", "broken-json", ("an array", "line 1")),
    Case("JSON string", "a.jsonl", b'"text"\n', "broken-json", ("a string",)),
    Case("JSON nested too deep", "a.jsonl", b"[" * 100_000 + b"\n", "broken-json", ("line 1",)),
    Case("JSON number too long", "a.jsonl", b"9" * 10_000 + b"\n", "broken-json", ("line 1",)),
    Case("no text field", "a.jsonl", b'{"body": "x"}\n', "missing-text-field", ("'text'", "body", "line 1")),
    Case("no nested field", "a.jsonl", b'{"a": {"c": "x"}}\n', "missing-text-field", ("'a.b'",), {"fields": {"text": "a.b"}}),
    Case("null text", "a.jsonl", b'{"text": null}\n', "missing-text-field", ("line 1",)),
    Case("text is a number", "a.jsonl", b'{"text": 3}\n', "text-field-type", ("a number", "line 1")),
    Case("text is an object", "a.jsonl", b'{"text": {}}\n', "text-field-type", ("an object",)),
    Case("licence is a list", "a.jsonl", b'{"text":"x","l":["MIT"]}\n', "license-field-type", ("an array",), {"fields": {"license": "l"}}),
    Case("line too long", "a.jsonl", NOISE, "document-too-long", ("line 1", "4096"), data={"maxDocumentBytes": 4096}),
    Case("text too long", "a.txt", NOISE, "document-too-long", ("a.txt", "4096"), data={"maxDocumentBytes": 4096}),
    Case("row too long", "a.parquet", parquet(text=["x" * 5000]), "document-too-long", ("row 1",), data={"maxDocumentBytes": 4096}),
    Case("record too long", "a.wet.gz", wet(["x" * 5000]), "document-too-long", ("record 1",), data={"maxDocumentBytes": 4096}),
    Case("decompression bomb", "a.txt.zst", zstandard.compress(bytes(1 << 28)), "document-too-long", ("a.txt.zst",)),
    Case("more bad ones than allowed", "a.jsonl", LINE + b"x\n" * 3, "too-many-bad-documents", ("More than 2", "line 2"), data={"maxBadDocuments": 2}),
    Case("no archive member", "a.zip", zipped("a.txt", b"x"), "file-not-found", ("b.txt",), documents="zip://b.txt::{folder}/a.zip"),
    Case("no archive member matches", "a.zip", zipped("a.txt", b"x"), "empty-glob", ("*.md",), documents="zip://*.md::{folder}/a.zip"),
    Case("no archive", "a.zip", LINE, "file-not-found", ("b.zip",), documents="zip://*.txt::{folder}/b.zip"),
    Case("zip that is none", "a.zip", LINE, "broken-archive", ("a.zip",), documents="zip://*.txt::{folder}/a.zip"),
    Case("tar that is none", "a.tar", LINE, "broken-archive", ("a.tar",), documents="tar://*.txt::{folder}/a.tar"),
    Case("truncated tar", "a.tar", tarred("a.txt", b"x" * 9000)[:4000], "broken-archive", ("a.tar",), documents="tar://a.txt::{folder}/a.tar"),
    Case("truncated zip", "a.zip", zipped("a.txt", b"x" * 9000)[:4000], "broken-archive", ("a.zip",), documents="zip://*.txt::{folder}/a.zip"),
    Case("source licence refused", "a.jsonl", LINE, "license-refused", ("'web'", "'GPL-3.0'", "MIT"), {"license": "GPL-3.0"}, {"allowedLicenses": ["MIT"]}),
    Case("no licence stated", "a.jsonl", LINE, "license-refused", ("states no licence",), data={"allowedLicenses": ["MIT"]}),
    Case("document licences refused", "a.jsonl", b'{"text": "x", "l": "GPL-3.0"}\n' * 3, "license-refused", ("3 with GPL-3.0",), {"fields": {"license": "l"}}, {"allowedLicenses": ["MIT"]}),
    Case("parquet with the column twice", "a.parquet", TWICE.getvalue(), "text-field-type", ("2 columns 'text'",)),
    Case("licence of half a surrogate pair", "a.jsonl", b'{"text": "x", "l": "\\ud800"}\n', "invalid-utf8", ("line 1", "'l'"), {"fields": {"license": "l"}}),
    Case("field names of half a surrogate pair", "a.jsonl", b'{"\\ud800": "x"}\n', "missing-text-field", ("line 1",)),
    Case("name too long", "a.txt", b"x", "file-not-found", ("too long",), documents="{folder}/" + "x" * 300 + ".txt"),
    Case("glob that is a file's name", "a[1].txt", b"x", "empty-glob", ("write a[[]1].txt for a[1].txt",)),
    Case("encrypted member", "a.zip", ENCRYPTED, "broken-archive", ("a.zip", "encrypted"), documents="zip://a.txt::{folder}/a.zip"),
    Case("link out of an archive", "a.tar", LINK, "broken-archive", ("a.tar",), documents="tar://*.txt::{folder}/a.tar"),
    Case("gz of nothing", "a.txt.gz", gzip.compress(b""), "no-documents", ("web",)),
    Case("unknown module of Python", "a.txt", b"x", "empty-glob", ("python://",), documents="python://lib/nonsense*.py"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_bad_input_gives_one_clear_message_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / case.file).write_bytes(case.content)
    documents = (case.documents or f"{{folder}}/{case.file}").replace("{folder}", str(tmp_path / "in"))
    stages = DataStages(tmp_path, {"sources": [a_source(documents, **case.source)], **case.data})
    assert_refused(stages, Stage.COLLECT, case.code, *case.says)


def test_a_symbolic_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "a.txt")
    stages = DataStages(tmp_path, {"sources": [a_source(tmp_path / "a.txt")]})
    assert_refused(stages, Stage.COLLECT, "file-not-found", "symbolic links")


def test_a_file_whose_name_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.txt")).write_bytes(b"x")
    stages = DataStages(tmp_path, {"sources": [a_source(tmp_path / "*.txt")]})
    assert_refused(stages, Stage.COLLECT, "invalid-utf8", r"\udcff.txt", "Rename")


def test_files_that_are_fine_although_they_look_odd(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "what?.jsonl").write_bytes(LINE)
    stages = DataStages(tmp_path, {"sources": [a_source(tmp_path / "*.jsonl*")]})
    stages.succeed(Stage.COLLECT)
    assert stages.texts(Stage.COLLECT) == [json.loads(LINE)["text"]]


def assert_refused(stages: DataStages, stage: Stage, code: str, *says: str) -> None:
    before = stages.left()
    exit_code, outcome = stages.run(stage)
    assert (exit_code, outcome.outcome, outcome.code) == (EXIT_USER_ERROR, "userError", code), outcome.message
    assert "Traceback" not in outcome.message
    for words in says:
        assert words in outcome.message
    assert outcome.message.endswith(f"[{code}]")
    assert stages.left() == before, "something was left behind"


class TestPrepare:
    def collected(self, tmp_path: Path, texts: list[str], prepare: dict[str, Any]) -> DataStages:
        file = tmp_path / "a.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        stages = DataStages(tmp_path, {"sources": [a_source(file)], "prepare": prepare})
        stages.succeed(Stage.COLLECT)
        return stages

    def test_everything_filtered_names_the_rule_that_removed_most(self, tmp_path: Path) -> None:
        stages = self.collected(tmp_path, ["too short", "also short"], {"quality": {}})
        assert_refused(
            stages,
            Stage.PREPARE,
            "everything-filtered",
            "All 2 documents of 'web'",
            "gopherQuality.minWords 2",
            "spec.data.prepare.quality.gopherQuality.minWords",
        )

    def test_every_document_in_another_language(self, tmp_path: Path) -> None:
        french = "Le chat dort sur le canapé pendant que la pluie tombe doucement sur les toits de la ville."
        stages = self.collected(tmp_path, [french], {"language": {}})
        assert_refused(stages, Stage.PREPARE, "everything-filtered", "language 1", "spec.data.prepare.language")

    def test_every_document_contaminated(self, tmp_path: Path) -> None:
        text = " ".join(f"word{n}" for n in range(40))
        (tmp_path / "test.txt").write_text(text)
        prepare = {"decontaminate": {"against": [str(tmp_path / "test.txt")]}}
        stages = self.collected(tmp_path, [f"Before. {text} After."], prepare)
        assert_refused(stages, Stage.PREPARE, "everything-filtered", "decontaminate 1")

    def test_evaluation_texts_that_do_not_exist(self, tmp_path: Path) -> None:
        prepare = {"decontaminate": {"against": [str(tmp_path / "none.txt")]}}
        stages = self.collected(tmp_path, ["text"], prepare)
        assert_refused(stages, Stage.PREPARE, "file-not-found", "spec.data.prepare.decontaminate.against[0]")

    def test_evaluation_texts_shorter_than_an_ngram(self, tmp_path: Path) -> None:
        (tmp_path / "test.txt").write_text("only a few words")
        prepare = {"decontaminate": {"against": [str(tmp_path / "test.txt")]}}
        stages = self.collected(tmp_path, ["text"], prepare)
        assert_refused(stages, Stage.PREPARE, "no-ngrams", "13 words")

    def test_evaluation_texts_that_are_broken(self, tmp_path: Path) -> None:
        (tmp_path / "test.jsonl").write_text("no json\n")
        prepare = {"decontaminate": {"against": [str(tmp_path / "test.jsonl")]}}
        stages = self.collected(tmp_path, ["text"], prepare)
        assert_refused(stages, Stage.PREPARE, "broken-json", "line 1")


AS_NOBODY = """
import os, sys
from pretrain_trainer import program
arguments = sys.argv[1:]
middle = arguments.index("--then")
assert program.main(arguments[:middle]) == 0, "so that everything is imported while it may be read"
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.exit(program.main(arguments[middle + 1:]))
"""


class TestPermissions:
    """Root may do anything, so the program gives its privileges up before it runs the job."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o755)
            if os.geteuid() == 0:
                os.chown(name, 65534, 65534)
            yield Path(name)

    def run(self, stages: DataStages, tmp_path: Path) -> str:
        """What the program prints."""
        (tmp_path / "good.jsonl").write_bytes(LINE)
        good = DataStages(tmp_path, {"sources": [a_source(tmp_path / "good.jsonl")]})
        arguments = [*good.arguments(Stage.COLLECT), "--then", *stages.arguments(Stage.COLLECT)]
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == EXIT_USER_ERROR, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def test_a_file_that_may_not_be_read(self, tmp_path: Path, folder: Path) -> None:
        (folder / "a.jsonl").write_bytes(LINE)
        (folder / "a.jsonl").chmod(0)
        stages = DataStages(folder, {"sources": [a_source(folder / "a.jsonl")]})
        message = self.run(stages, tmp_path)
        assert "a.jsonl may not be read" in message
        assert "[no-permission]" in message
        assert stages.left() == []

    def test_a_storage_that_may_not_be_written(self, tmp_path: Path, folder: Path) -> None:
        (folder / "a.jsonl").write_bytes(LINE)
        (folder / "locked").mkdir(mode=0o555)
        stages = DataStages(folder, {"sources": [a_source(folder / "a.jsonl")]}, storage=folder / "locked" / "run")
        message = self.run(stages, tmp_path)
        assert "locked" in message
        assert "[no-permission]" in message
        assert list((folder / "locked").iterdir()) == []


@pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true",  # there a missing part is a failure
    reason="mounting a small disk needs root",
)
class TestSmallDisk:
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
        place = tmp_path / "disk"
        place.mkdir()

        def mount(options: str) -> Path:
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
            return place

        try:
            yield mount
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)

    def test_a_full_disk_leaves_no_part_and_no_record(self, tmp_path: Path, disk: Callable[[str], Path]) -> None:
        (tmp_path / "a.jsonl").write_bytes(
            b"".join(json.dumps({"text": os.urandom(9999).hex()}).encode() + b"\n" for _ in range(200))
        )
        stages = DataStages(tmp_path, {"sources": [a_source(tmp_path / "a.jsonl")]}, storage=disk("size=1m"))
        code, outcome = stages.run(Stage.COLLECT)
        assert (code, outcome.code) == (EXIT_USER_ERROR, "disk-full"), outcome.message
        assert stages.left() == []

    def test_a_read_only_disk(self, tmp_path: Path, disk: Callable[[str], Path]) -> None:
        (tmp_path / "a.jsonl").write_bytes(LINE)
        stages = DataStages(tmp_path, {"sources": [a_source(tmp_path / "a.jsonl")]}, storage=disk("size=1m,ro"))
        code, outcome = stages.run(Stage.COLLECT)
        assert (code, outcome.code) == (EXIT_USER_ERROR, "no-permission"), outcome.message


MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def test_a_line_of_200_megabytes_is_refused_without_reading_it_into_memory(tmp_path: Path) -> None:
    with open(tmp_path / "a.jsonl", "wb") as file:
        file.write(b'{"text": "')
        for _ in range(200):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + LINE)
    small = DataStages(tmp_path / "small", {"sources": [a_source(tmp_path / "a.jsonl")], "maxBadDocuments": 1})
    program = [sys.executable, "-m", "pretrain_trainer", *small.arguments(Stage.COLLECT)]
    done = subprocess.run([sys.executable, "-c", MEASURED, *program], stdout=subprocess.PIPE, text=True, check=True)
    code, mebibytes = map(int, done.stdout.split()[-2:])
    assert code == 0
    assert mebibytes < 300, "resident"
    strict = DataStages(tmp_path / "strict", {"sources": [a_source(tmp_path / "a.jsonl")]})
    assert_refused(strict, Stage.COLLECT, "document-too-long", "a.jsonl, line 1", "maxDocumentBytes (16777216 bytes)")


class TestHttp:
    @pytest.fixture
    def server(self) -> Iterator[Callable[[dict[str, int]], str]]:
        servers = []

        def start(statuses: dict[str, int]) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    status = statuses.get(self.path, 404)
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(LINE)) if status == 200 else "0")
                    self.end_headers()
                    if status == 200 and self.command == "GET":
                        self.wfile.write(LINE)

                do_HEAD = do_GET

                def log_message(self, format: str, *values: Any) -> None: ...

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            servers.append(server)
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield start
        for server in servers:
            server.shutdown()
            server.server_close()

    def test_a_file_that_is_there(self, tmp_path: Path, server: Callable[[dict[str, int]], str]) -> None:
        stages = DataStages(tmp_path, {"sources": [a_source(server({"/a.jsonl": 200}) + "/a.jsonl")]})
        stages.succeed(Stage.COLLECT)
        assert stages.texts(Stage.COLLECT) == [json.loads(LINE)["text"]]

    @pytest.mark.parametrize(
        ("status", "code"),
        [(404, "file-not-found"), (410, "file-not-found"), (403, "no-permission"), (401, "no-permission")],
    )
    def test_a_file_that_is_refused(
        self, tmp_path: Path, server: Callable[[dict[str, int]], str], status: int, code: str
    ) -> None:
        stages = DataStages(tmp_path, {"sources": [a_source(server({"/a.jsonl": status}) + "/a.jsonl")]})
        assert_refused(stages, Stage.COLLECT, code, "/a.jsonl")

    def test_a_server_that_fails_is_no_mistake_of_the_user(
        self, tmp_path: Path, server: Callable[[dict[str, int]], str]
    ) -> None:
        stages = DataStages(tmp_path, {"sources": [a_source(server({"/a.jsonl": 503}) + "/a.jsonl")]})
        code, outcome = stages.run(Stage.COLLECT)
        assert (code, outcome.outcome, outcome.kind) == (EXIT_FAILURE, "failed", "SourceUnavailable")
        assert "503" in outcome.message

    def test_a_server_that_falls_silent_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locations, "_SILENCE_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            stages = DataStages(
                tmp_path, {"sources": [a_source(f"http://127.0.0.1:{silent.getsockname()[1]}/a.jsonl")]}
            )
            code, outcome = stages.run(Stage.COLLECT)
        assert (code, outcome.outcome, outcome.kind) == (EXIT_FAILURE, "failed", "SourceUnavailable")

    def test_nobody_listens(self, tmp_path: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        stages = DataStages(tmp_path, {"sources": [a_source(f"http://127.0.0.1:{port}/a.jsonl")]})
        assert_refused(stages, Stage.COLLECT, "unreachable", "Nobody answers", str(port))


class TestS3:
    """The answers of an S3 server to a reader that asks for what is not there or not its own."""

    @pytest.fixture
    def answer(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], None]]:
        servers = []

        def start(status: int, code: str) -> None:
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/xml")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(body)

                do_HEAD = do_GET

                def log_message(self, format: str, *values: Any) -> None: ...

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            servers.append(server)
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")

        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield start
        for server in servers:
            server.shutdown()
            server.server_close()

    @pytest.mark.parametrize("documents", ["s3://bucket/a.jsonl", "s3://bucket/*.jsonl"])
    @pytest.mark.parametrize(
        ("status", "reason", "codes"),
        [
            (404, "NoSuchBucket", {"file-not-found", "empty-glob"}),
            (403, "AccessDenied", {"no-permission"}),
        ],
    )
    def test_a_bucket_that_is_missing_or_closed(
        self,
        tmp_path: Path,
        answer: Callable[[int, str], None],
        documents: str,
        status: int,
        reason: str,
        codes: set[str],
    ) -> None:
        answer(status, reason)
        stages = DataStages(tmp_path, {"sources": [a_source(documents)]})
        code, outcome = stages.run(Stage.COLLECT)
        assert (code, outcome.code in codes) == (EXIT_USER_ERROR, True), outcome.message
        assert "s3://bucket/" in outcome.message
        assert stages.left() == []
