"""`pretrain index` as a program: on an S3 server, interrupted and started again, and in trouble."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
from support.cluster.s3 import S3Server
from support.eventually import eventually
from support.tars import captioned, tar

PRETRAIN = str(Path(sys.executable).parent / "pretrain")


def pretrain(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    own = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([PRETRAIN, *arguments], env=own, capture_output=True, text=True, timeout=300)


def test_tars_on_an_s3_server(tmp_path: Path, s3_server: S3Server) -> None:
    s3_server.make_bucket("index")
    # Put there by a client: only then has the server a tag for each.
    store = fsspec.filesystem("s3", endpoint_url=s3_server.url, key=s3_server.access_key, secret=s3_server.secret_key)
    store.put(str(captioned(tmp_path / "set", shards=10)), "index/set", recursive=True)
    keys = {k: v for k, v in s3_server.environment.items() if k != "AWS_ENDPOINT_URL"}
    where = ["s3://index/set/{000000..000009}.tar", "--endpoint-url", s3_server.url]
    done = pretrain("index", *where, "--processes", "2", **keys)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("50 records in 10 tars, ")
    assert done.stdout.endswith("s3://index/set/manifest.json\n")
    manifest = s3_server.buckets / "index" / "set" / "manifest.json"
    before = manifest.read_bytes()
    assert b'"etag": ""' not in before

    assert pretrain("index", *where, "--check", **keys).stdout == "10 tars indexed as they are\n"
    assert pretrain("index", *where, **keys).returncode == 0
    assert manifest.read_bytes() == before

    malformed = pretrain("index", *where, AWS_SESSION_TOKEN="none", **keys)
    assert malformed.returncode == 2
    assert "its server calls the request malformed" in malformed.stderr

    # What they hold is looked at through the server, too.
    shards = ["s3://index/set/manifest.json", "--endpoint-url", s3_server.url]
    verified = pretrain("data", "verify", *shards, **keys)
    assert verified.returncode == 0, verified.stderr
    assert "50 records" in verified.stdout
    assert json.loads(pretrain("data", "stats", *shards, "-o", "json", **keys).stdout)
    sheet = tmp_path / "sheet.png"
    assert pretrain("data", "peek", *shards, "--sheet", str(sheet), **keys).returncode == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")
    tar_of_the_third = s3_server.buckets / "index" / "set" / "000002.tar"
    content = bytearray(tar_of_the_third.read_bytes())
    content[700] ^= 1
    tar_of_the_third.write_bytes(content)
    damaged = pretrain("data", "verify", *shards, **keys)
    assert damaged.returncode == 1
    assert "000002.tar" in damaged.stdout + damaged.stderr


def test_every_broken_tar_is_told_and_no_manifest_written(tmp_path: Path) -> None:
    captioned(tmp_path, shards=1)
    (tmp_path / "a.tar").write_bytes(tar({"1.txt": b"x"})[:600])
    (tmp_path / "b.tar").write_bytes(b"PK\x03\x04" * 300)
    done = pretrain("index", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.replace(str(tmp_path), "DIR").splitlines() == [
        "error: file://DIR/a.tar: the tar is cut short: it does not end with the blocks of zeros that close a tar. Supply the "
        "whole tar. [tar-truncated]",
        "error: file://DIR/b.tar: the file is no tar; it is a zip archive. Write the address of a plain tar (records of "
        "compressed ones cannot be read one by one). [not-a-tar]",
        "2 of 3 tars cannot be indexed; no manifest was written",
    ]
    assert not (tmp_path / "manifest.json").exists()
    check = pretrain("index", str(tmp_path), "--check")
    assert check.returncode == 1
    assert "manifest.json is not there" in check.stderr


def test_a_verification_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    shards = captioned(tmp_path / "set", shards=1)
    for number in range(1, 400):  # long enough to be killed on the way
        os.link(shards / "000000.tar", shards / f"{number:06d}.tar")
    assert pretrain("index", str(shards)).returncode == 0
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    command = [PRETRAIN, "data", "verify", str(shards), "--processes", "1"]
    killed = subprocess.Popen(command, env={**os.environ, **state}, stdout=subprocess.PIPE, start_new_session=True)

    def noted() -> int:
        files = list((tmp_path / "state").rglob("*.jsonl"))
        return len(files[0].read_bytes().splitlines()) if files else 0

    eventually(noted, within_seconds=60)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = noted()
    assert 0 < before < 400

    done = pretrain("data", "verify", str(shards), "-o", "json", **state)
    assert done.returncode == 0, done.stderr
    assert f"goes on: {before} of 400 shards were read before" in done.stderr
    assert json.loads(done.stdout) == {"shards": 400, "records": 2000, "findings": []}
    assert noted() == 0, "a complete verification begins anew the next time"
