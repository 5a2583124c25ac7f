"""The ranks of a worker fetch each byte once, for all of them, from a real S3 server; ranks of other machines do not."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import token_runs
from support.cluster.s3 import S3Server
from support.reading_rank import read
from support.s3_proxy import S3Proxy, s3_proxy

from pretrain_api import layout
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.data.shared_blocks import MEMORY

RANKS, BATCH = 3, 300
RECORDS, PER_RECORD = 24, 1200
"""Records of 77 KiB: farther apart than what one request would read along."""
FOLDER = layout.shards(token_runs.UPSTREAM["Encode"], "a")
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> Path:
    s3_server.make_bucket("shared")
    folder = s3_server.buckets / "shared"
    storage = Storage(str(folder))
    token_runs.write_source(storage, "a", 1, RECORDS * PER_RECORD, samples_per_record=PER_RECORD, shards=3)
    return folder


def manifest(bucket: Path) -> Manifest:
    return Manifest.model_validate_json((bucket / FOLDER / layout.MANIFEST).read_bytes())


@contextlib.contextmanager
def ranks(bucket: Path, server: S3Server, url: str, *, machines: int) -> Iterator[list[dict[str, Any]]]:
    """What each rank has read; all are still there."""
    own = {**os.environ, **server.environment, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    own |= {"AWS_ENDPOINT_URL": url, "LOCAL_WORLD_SIZE": str(RANKS // machines)}
    programs = []
    with contextlib.ExitStack() as stack:
        for rank in range(RANKS):
            command = [sys.executable, "-m", "support.reading_rank", f"s3://{bucket.name}", url, FOLDER]
            programs.append(
                stack.enter_context(
                    subprocess.Popen(
                        [*command, str(rank), str(RANKS), str(BATCH)],
                        env={**own, "LOCAL_RANK": str(rank % (RANKS // machines))},
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
            )
            stack.callback(programs[-1].kill)
        yield [json.loads(program.stdout.readline()) for program in programs]
        for program in programs:
            program.communicate(timeout=60)  # the end of its input
            assert program.returncode == 0


def times_fetched(proxy: S3Proxy, bucket: Path) -> dict[str, np.ndarray]:
    """Of each shard, how often each byte was asked for."""
    found = {shard.name: np.zeros(shard.bytes, dtype=np.int64) for shard in manifest(bucket).train.shards}
    for asked in proxy.asked:
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", asked.range):
            begin, end = int(match[1]), int(match[2]) + 1
            found[asked.path.partition("?")[0].rpartition("/")[2]][begin:end] += 1
    return found


def payloads(bucket: Path) -> dict[str, np.ndarray]:
    """Of each shard, which bytes belong to a record."""
    found = {}
    for shard in manifest(bucket).train.shards:
        rows = np.load(bucket / FOLDER / shard.name.replace(".tar", ".idx"))
        of_records = np.zeros(shard.bytes, dtype=np.bool_)
        for row in rows:
            for member in ("documents", "tokens"):
                of_records[row[f"{member}_offset"] :][: row[f"{member}_length"]] = True
        found[shard.name] = of_records
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("machines", [1, RANKS])
def test_bytes_are_fetched_once_for_the_ranks_of_a_machine(bucket: Path, s3_server: S3Server, machines: int) -> None:
    expected, _ = read(Storage(str(bucket)), FOLDER, 0, 1, BATCH)
    with s3_proxy(s3_server.url) as proxy:
        with ranks(bucket, s3_server, proxy.url, machines=machines) as told:
            folders = [path for path in MEMORY.glob(f"pretrain-blocks-{os.getpid()}") if machines == 1]
            assert len(folders) == (machines == 1)
        fetched = times_fetched(proxy, bucket)

    assert [rank["faults"] for rank in told] == [0] * RANKS
    assert {int(g): checksum for rank in told for g, checksum in rank["read"].items()} == expected
    assert sum(len(rank["read"]) for rank in told) == RECORDS * PER_RECORD
    for name, of_records in payloads(bucket).items():
        most = int(fetched[name].max())
        assert (fetched[name][of_records] >= 1).all()
        assert most == 1 if machines == 1 else most > 1, f"a byte of {name} was fetched {most} times"
    assert not list(MEMORY.glob(f"pretrain-blocks-{os.getpid()}")), "each rank removes its own, and the last the folder"
