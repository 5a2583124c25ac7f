"""Documents of web servers: read whole whatever the server says about their length and however it encodes them."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import zstandard
from support.data_stages import DataStages, a_source

from pretrain_api.errors import EXIT_FAILURE, EXIT_USER_ERROR
from pretrain_api.stages import Stage
from pretrain_trainer.documents import faults

TEXT = "A document that is served. " * 9000
LINES = b"".join(json.dumps({"text": f"line {n}"}).encode() + b"\n" for n in range(40_000))
HALVES = gzip.compress(LINES[: len(LINES) // 2]) + gzip.compress(LINES[len(LINES) // 2 :])
"""A gzip file of two members."""


@dataclass(frozen=True)
class Answer:
    """What a server says about a file and what it then sends; None: it states no length."""

    body: bytes
    head_length: int | None
    get_length: int | None = None
    encoding: str = ""
    head_encoding: str = ""
    asked: list[str] = field(default_factory=list)
    """The encodings that each request allows."""


Start = Callable[[str, Answer], str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a server of one file; the answer is its URL."""
    monkeypatch.setattr(faults, "_FIRST_PAUSE_SECONDS", 0)
    servers = []

    def start(name: str, answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def _begin(self, length: int | None, encoding: str) -> None:
                answer.asked.append(self.headers.get("Accept-Encoding", ""))
                self.send_response(200)
                if length is not None:
                    self.send_header("Content-Length", str(length))
                if encoding:
                    self.send_header("Content-Encoding", encoding)
                self.end_headers()

            def do_HEAD(self) -> None:
                self._begin(answer.head_length, answer.head_encoding)

            def do_GET(self) -> None:
                self._begin(answer.get_length, answer.encoding)
                self.wfile.write(answer.body)

            def log_message(self, format: str, *values: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/{name}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def collecting(tmp_path: Path, url: str) -> DataStages:
    return DataStages(tmp_path, {"sources": [a_source(url)]})


def texts(tmp_path: Path, url: str) -> list[str]:
    stages = collecting(tmp_path, url)
    stages.succeed(Stage.COLLECT)
    return stages.texts(Stage.COLLECT)


class TestLengths:
    WHOLE = TEXT.encode()

    @pytest.mark.parametrize("stated", [None, len(WHOLE)])
    def test_a_file_is_read_whole_with_and_without_a_length(
        self, tmp_path: Path, serve: Start, stated: int | None
    ) -> None:
        assert texts(tmp_path, serve("a.txt", Answer(self.WHOLE, stated, stated))) == [TEXT]

    @pytest.mark.parametrize("answered", [None, len(WHOLE)])
    def test_a_length_stated_too_short_never_cuts_a_document(
        self, tmp_path: Path, serve: Start, answered: int | None
    ) -> None:
        url = serve("a.txt", Answer(self.WHOLE, 1000, answered))
        self.refused(tmp_path, url, "file-changed", url, str(len(self.WHOLE)), "1000")

    @pytest.mark.parametrize("answered", [None, len(WHOLE)])
    def test_a_length_stated_too_long_is_told_with_both(
        self, tmp_path: Path, serve: Start, answered: int | None
    ) -> None:
        url = serve("a.txt", Answer(self.WHOLE, 1 << 30, answered))
        self.refused(tmp_path, url, "truncated-file", url, f"{len(self.WHOLE)} of {1 << 30} bytes")

    def test_an_answer_that_breaks_off_each_time_is_told_with_both_lengths(self, tmp_path: Path, serve: Start) -> None:
        answer = Answer(self.WHOLE, 1 << 30, 1 << 30)
        url = serve("a.txt", answer)
        code, outcome = collecting(tmp_path, url).run(Stage.COLLECT)
        assert (code, outcome.kind) == (EXIT_FAILURE, "SourceUnavailable")
        assert f"{url} cannot be read at the moment" in outcome.message
        assert f"after {len(self.WHOLE)} of the {1 << 30} bytes" in outcome.message
        assert len(answer.asked) > 4, "it was tried again"

    def refused(self, tmp_path: Path, url: str, code: str, *says: str) -> None:
        stages = collecting(tmp_path, url)
        exit_code, outcome = stages.run(Stage.COLLECT)
        assert (exit_code, outcome.code) == (EXIT_USER_ERROR, code), outcome.message
        for words in says:
            assert words in outcome.message
        assert stages.left() == []


class TestEncodings:
    """`.gz` files get their label from many servers as the encoding of the answer, others encode what they send."""

    @pytest.mark.parametrize("packed", [gzip.compress(LINES), HALVES], ids=["one member", "two members"])
    @pytest.mark.parametrize("again", [False, True], ids=["labelled", "encoded once more"])
    def test_a_gz_file_whose_answer_says_gzip(self, tmp_path: Path, serve: Start, packed: bytes, again: bool) -> None:
        body = gzip.compress(packed) if again else packed
        url = serve("a.jsonl.gz?version=1", Answer(body, len(body), len(body), "gzip", "gzip"))
        assert len(texts(tmp_path, url)) == 40_000

    def test_a_gz_file_that_only_the_second_answer_labels(self, tmp_path: Path, serve: Start) -> None:
        url = serve("a.jsonl.gz", Answer(HALVES, len(HALVES), len(HALVES), "gzip"))
        assert len(texts(tmp_path, url)) == 40_000

    @pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
    def test_a_plain_file_that_is_encoded_although_nobody_asked(
        self, tmp_path: Path, serve: Start, encoding: str, pack: Callable[[bytes], bytes]
    ) -> None:
        answer = Answer(pack(LINES), len(LINES), None, encoding)
        assert len(texts(tmp_path, serve("a.jsonl", answer))) == 40_000
        assert set(answer.asked) == {"identity"}

    def test_an_encoded_answer_that_breaks_off(self, tmp_path: Path, serve: Start) -> None:
        url = serve("a.jsonl", Answer(HALVES[:-9], None, None, "gzip"))
        code, outcome = collecting(tmp_path, url).run(Stage.COLLECT)
        assert (code, outcome.code) == (EXIT_USER_ERROR, "truncated-file"), outcome.message
        assert url in outcome.message

    def test_an_empty_answer(self, tmp_path: Path, serve: Start) -> None:
        code, outcome = collecting(tmp_path, serve("a.jsonl", Answer(b"", None, 0, "gzip"))).run(Stage.COLLECT)
        assert (code, outcome.code) == (EXIT_USER_ERROR, "no-documents"), outcome.message

    def test_an_encoding_that_nobody_reads(self, tmp_path: Path, serve: Start) -> None:
        url = serve("a.jsonl", Answer(LINES, None, None, "compress"))
        code, outcome = collecting(tmp_path, url).run(Stage.COLLECT)
        assert (code, outcome.code) == (EXIT_USER_ERROR, "broken-compression"), outcome.message
        assert url in outcome.message
        assert "'compress'" in outcome.message
