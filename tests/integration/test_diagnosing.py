"""Stores and machines as they are tried for `pretrain doctor`: a real S3 server, whole and broken, and real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.cluster.s3 import S3Server
from support.s3_proxy import Answer, Asked, s3_proxy


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> str:
    return s3_server.make_bucket(f"doctor-{tmp_path.name.replace('_', '-')[-30:].strip('-')}")


def diagnosed(*arguments: str, code: int = 0, **environment: str) -> dict[str, dict[str, Any]]:
    """Findings by check."""
    command = [sys.executable, "-m", "pretrain_trainer.diagnosing", "--output", "json", *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return {finding["check"]: finding for finding in json.loads(done.stdout)}


def levels(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {check: finding["level"] for check, finding in found.items()}


def everything_but_bandwidth(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Levels of all checks whose result does not hang on the speed of this machine."""
    return {check: level for check, level in levels(found).items() if check != "bandwidth"}


WELL = {"reached": "ok", "clock": "ok", "conditional-writes": "ok"}


class TestStores:
    def test_an_s3_server_is_well_and_left_as_it_was(self, s3_server: S3Server, bucket: str) -> None:
        found = diagnosed("storage", f"{bucket}/run", **s3_server.environment)
        assert everything_but_bandwidth(found) == WELL
        assert "MB/s" in found["bandwidth"]["message"]
        assert not (s3_server.buckets / bucket.removeprefix("s3://") / "run").exists()

    def test_a_folder_is_well_and_left_as_it_was(self, tmp_path: Path) -> None:
        assert everything_but_bandwidth(diagnosed("storage", str(tmp_path / "run"))) == WELL
        assert list(tmp_path.iterdir()) == []

    def test_folders_above_that_were_made_are_removed_again(self, tmp_path: Path) -> None:
        found = diagnosed("storage", str(tmp_path / "not" / "there" / "run"))
        assert "The folder does not exist yet; a run makes it." in found["reached"]["message"]
        assert list(tmp_path.iterdir()) == []

    def test_a_place_without_folders_is_told_with_path_and_advice(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        for place in (Path("/proc/x"), tmp_path / "file", tmp_path / "file" / "run", tmp_path / ("n" * 300)):
            found = diagnosed("storage", str(place), code=1)
            assert list(found) == ["reached"]
            assert found["reached"]["message"].startswith(f"no folder can be made at {place}: ")
            assert found["reached"]["advice"]
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_a_folder_that_is_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "kept").write_text("mine")
        assert "does not exist yet" not in diagnosed("storage", str(tmp_path))["reached"]["message"]
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]

    def test_one_without_conditional_writes_is_found(self, s3_server: S3Server, bucket: str) -> None:
        def forgetful(asked: Asked) -> Answer:
            """A store that does not look at the condition: what stood there makes way for what comes."""
            if asked.method == "PUT":
                (s3_server.buckets / asked.path.partition("?")[0].strip("/")).unlink(missing_ok=True)
            return Answer()

        with s3_proxy(s3_server.url, forgetful) as proxy:
            keys = {**s3_server.environment, "AWS_ENDPOINT_URL": proxy.url}
            found = diagnosed("storage", f"{bucket}/run", code=1, **keys)
        assert found["conditional-writes"]["level"] == "failure"
        assert "spec.checkpoint.externalLock" in found["conditional-writes"]["advice"]
        assert found["reached"]["level"] == "ok"

    def test_one_that_flips_bits_is_found(self, s3_server: S3Server, bucket: str) -> None:
        def flipping(asked: Asked) -> Answer:
            return Answer(flip=asked.method == "GET" and "bandwidth" in asked.path)

        with s3_proxy(s3_server.url, flipping) as proxy:
            keys = {**s3_server.environment, "AWS_ENDPOINT_URL": proxy.url}
            found = diagnosed("storage", f"{bucket}/run", code=1, **keys)
        assert "other bytes" in " ".join(finding["message"] for finding in found.values())

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "may not be read or written"),
            ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "does not answer"),
        ],
        ids=["keys", "address"],
    )
    def test_one_that_lets_nobody_in_is_told_with_advice(
        self, s3_server: S3Server, bucket: str, changes: dict[str, str], said: str
    ) -> None:
        environment = {**s3_server.environment, "AWS_MAX_ATTEMPTS": "1", **changes}
        found = diagnosed("storage", f"{bucket}/run", code=1, **environment)
        assert list(found) == ["reached"]
        assert said in found["reached"]["message"]
        assert found["reached"]["advice"]

    def test_a_missing_bucket_is_told(self, s3_server: S3Server) -> None:
        found = diagnosed("storage", "s3://no-such-bucket/run", code=1, **s3_server.environment)
        assert "does not exist" in found["reached"]["message"]

    def test_an_address_of_an_unknown_kind_is_told(self) -> None:
        assert "cannot be used" in diagnosed("storage", "gopher://x/y", code=1)["reached"]["message"]


@pytest.fixture(scope="module")
def machine() -> dict[str, dict[str, Any]]:
    """This machine, looked at once."""
    return diagnosed("machine")


class TestMachines:
    def test_ranks_reduce_among_each_other(self, machine: dict[str, dict[str, Any]]) -> None:
        collective = machine.get("nccl") or machine["gloo"]
        assert collective["level"] == "ok"
        assert "GB/s" in collective["message"]

    def test_libraries_and_memory_are_told(self, machine: dict[str, dict[str, Any]]) -> None:
        assert machine["libraries"]["message"].startswith("torch ")
        assert "GB are free" in machine["memory"]["message"]

    def test_missing_libraries_are_told_and_nothing_else_is_tried(self, tmp_path: Path) -> None:
        (tmp_path / "torch.py").write_text("raise ImportError('not installed')")
        found = diagnosed("machine", code=1, PYTHONPATH=str(tmp_path))
        assert list(found) == ["libraries"]
        assert found["libraries"]["advice"].startswith("Install them")

    def test_for_people_it_prints_lines(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "pretrain_trainer.diagnosing", "storage", str(tmp_path / "run")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[0].startswith("ok       reached: file://")
