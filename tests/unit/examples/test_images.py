"""The script that writes the examples' images: what it writes loads, and downloads go on where they were."""

import base64
import hashlib
import http.server
import importlib.util
import io
import json
import re
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

_PATH = Path(__file__).resolve().parents[3] / "examples" / "images.py"
_SPEC = importlib.util.spec_from_file_location("example_images", _PATH)
assert _SPEC
assert _SPEC.loader
script: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(script)

CONTENT = bytes(range(256)) * 64
SHA512 = base64.b64encode(hashlib.sha512(CONTENT).digest()).decode()


@pytest.fixture
def address() -> Iterator[str]:
    """Of a server that has CONTENT, in parts too."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(found.group(1)) if found else 0
            self.send_response(416 if start >= len(CONTENT) else 206 if found else 200)
            self.send_header("Content-Length", str(len(CONTENT[start:])))
            self.end_headers()
            self.wfile.write(CONTENT[start:])

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/package.tgz"
        server.shutdown()


@pytest.mark.parametrize("there", [0, 1, 5000, len(CONTENT)])
def test_a_download_goes_on_where_it_was(address: str, tmp_path: Path, there: int) -> None:
    file = tmp_path / "package.tgz"
    file.write_bytes(CONTENT[:there])
    script.download(address, SHA512, file)
    assert file.read_bytes() == CONTENT


def test_a_download_of_something_else_is_no_package(address: str, tmp_path: Path) -> None:
    file = tmp_path / "package.tgz"
    file.write_bytes(b"something else")
    with pytest.raises(SystemExit, match="another SHA-512"):
        script.download(address, SHA512, file)
    assert not file.exists()


def test_digits_are_images_with_what_is_written(tmp_path: Path) -> None:
    assert script.write(script.digits(), tmp_path / "one.tar") == 1797
    script.write(script.digits(), tmp_path / "other.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "other.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        png, txt, facts = (archive.extractfile(f"0005.{end}").read() for end in ("png", "txt", "json"))
    assert (txt, json.loads(facts)) == (b"the digit five", {"category": "5"})
    assert Image.open(io.BytesIO(png)).size == (32, 32)


def test_emoji_are_those_of_the_package_in_the_order_of_unicode(tmp_path: Path) -> None:
    listed = [
        {"unified": unified, "image": f"{unified.lower()}.png", "name": name, "short_name": name, "category": "Animals",
         "subcategory": "mammal", "sort_order": order, "has_img_google": drawn}
        for unified, name, order, drawn in (("1F42B", "CAMEL", 2, True), ("1F404", "COW", 1, True), ("1F9EA", "X", 0, False))
    ]  # fmt: skip
    files = {"package/emoji.json": json.dumps(listed).encode()}
    files |= {f"package/img/google/64/{each['image']}": each["name"].encode() for each in listed}
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    found = list(script.emoji(tmp_path / "package.tgz"))
    assert [(key, record["png"], record["txt"]) for key, record in found] == [
        ("1f404", b"COW", b"cow"), ("1f42b", b"CAMEL", b"camel"),
    ]  # fmt: skip
    facts = {"name": "COW", "short_name": "COW", "category": "Animals", "subcategory": "mammal"}
    assert json.loads(found[0][1]["json"]) == facts


def test_a_name_that_there_is_not_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["images.py", "cats"])
    with pytest.raises(SystemExit) as caught:
        script.main()
    assert caught.value.code == 2
    assert "there is no 'cats'. Write digits or emoji." in capsys.readouterr().err
