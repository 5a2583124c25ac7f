"""Shards in a bucket train with `pretrain run` as they do from a folder: the same model, wherever the run itself lies."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support import given_shards
from support.cluster.s3 import S3Server
from support.given_shards import given, manifest_uri, tokenizer_uri, write_arrays

from pretrain_api import layout
from pretrain_api.errors import EXIT_FAILURE, EXIT_USER_ERROR
from pretrain_api.stages import Stage

PRETRAIN = str(Path(sys.executable).parent / "pretrain")
TRAINING = {"sequenceLength": given_shards.LENGTH, "globalBatchSize": 4, "steps": 5, "precision": "fp32"}
BUCKET = "given-shards"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Given:
    """A bucket with another run's shards, its tokenizer and arrays of others, and the same in a folder."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.server, self.folder = server, folder
        self.other = given_shards.encoded(folder / "other")
        flat = write_arrays(folder / "flat", [np.arange(1, 200, dtype=np.uint16) + i for i in range(20)])
        server.make_bucket(BUCKET)
        bucket = server.buckets / BUCKET
        shutil.copytree(Path(manifest_uri(self.other, "library")).parent, bucket / "library")
        shutil.copytree(tokenizer_uri(self.other), bucket / "tokenizer")
        shutil.copytree(flat, bucket / "flat")
        given_shards.index(flat)
        self.in_bucket = self.pretrain("index", f"s3://{BUCKET}/flat", address=True)

    def environment(self, address: bool, **changes: str) -> dict[str, str]:
        """A user's keys; of the server's address only where the job does not name it."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        keys = {n: v for n, v in self.server.environment.items() if address or n != "AWS_ENDPOINT_URL"}
        state = {"XDG_STATE_HOME": str(self.folder / "state"), "AWS_EC2_METADATA_DISABLED": "true"}
        return {**own, **keys, **state, "OMP_NUM_THREADS": "1", **changes}

    def pretrain(self, *arguments: str, address: bool, **changes: str) -> "subprocess.CompletedProcess[str]":
        command = [PRETRAIN, *arguments]
        own = self.environment(address, **changes)
        return subprocess.run(command, env=own, capture_output=True, text=True, timeout=600, check=False)

    def job(self, name: str, storage: dict[str, Any], root: str) -> Path:
        """A job whose sources are both kinds of shards below `root`."""
        run = given(
            self.folder / name,
            self.other,
            [
                {"name": "ours", "shards": f"{root}/library/manifest.json", "weight": 2},
                {"name": "flat", "shards": f"{root}/flat/manifest.json"},
            ],
            training=TRAINING,
            storage=storage,
            tokenizer={"uri": f"{root}/tokenizer"},
        )
        job = {"apiVersion": "pretrain.dev/v1alpha1", "kind": "PretrainJob", **json.loads(run.job.read_text())}
        path = self.folder / name / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        return path


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Given:
    made = Given(tmp_path_factory.mktemp("given"), s3_server)
    assert made.in_bucket.returncode == 0, made.in_bucket.stderr
    return made


@pytest.fixture(scope="module")
def from_folder(shards: Given) -> str:
    """The weights of the same job on shards in a folder."""
    bucket, run = shards.server.buckets / BUCKET, shards.folder / "runs" / "folder"
    path = shards.job("folder", {"uri": str(run)}, str(bucket))
    done = shards.pretrain("run", str(path), address=False)
    assert done.returncode == 0, done.stderr
    return trained(run)


def trained(root: Path) -> str:
    (record,) = (json.loads(path.read_text()) for path in (root / "stages" / "train").glob("*.json"))
    return str(record["details"]["parametersSha256"])


def stages_of(root: Path) -> list[str]:
    return [stage["name"] for stage in json.loads((root / layout.STATUS).read_text())["status"]["stages"]]


def test_a_run_in_the_bucket_takes_its_keys_from_the_environment(shards: Given, from_folder: str) -> None:
    storage = {
        "uri": f"s3://{BUCKET}/runs/one",
        "endpointUrl": shards.server.url,
        "secretRef": {"name": "s3-credentials"},
    }
    done = shards.pretrain("run", str(shards.job("store", storage, f"s3://{BUCKET}")), address=False)
    assert done.returncode == 0, done.stderr
    assert "spec.storage.secretRef has no effect here: credentials come from the environment" in done.stderr
    root = shards.server.buckets / BUCKET / "runs" / "one"
    assert trained(root) == from_folder
    assert stages_of(root) == [stage.value for stage in Stage][2:]
    again = shards.pretrain("data", "verify", f"s3://{BUCKET}/runs/one", address=True)
    assert (again.returncode, "all sound" in again.stdout) == (0, True), again.stderr


def test_a_run_in_a_folder_reads_them_through_the_address_of_the_environment(shards: Given, from_folder: str) -> None:
    run = shards.folder / "runs" / "local"
    path = shards.job("local", {"uri": str(run)}, f"s3://{BUCKET}")
    done = shards.pretrain("run", str(path), address=True)
    assert done.returncode == 0, done.stderr
    assert trained(run) == from_folder
    assert not list((run / "shards").glob("*/ours/*.tar")), "another job's shards stay where they are"
    peeked = shards.pretrain("data", "peek", str(run), "--at", "3", address=True)
    assert peeked.returncode == 0, peeked.stderr


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "no-permission"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no-credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "unreachable"),
    ],
)
def test_what_keeps_them_from_being_read_is_told(
    shards: Given, tmp_path: Path, keys: dict[str, str], code: str
) -> None:
    job = shards.job(f"refused-{code}", {"uri": str(tmp_path / "run")}, f"s3://{BUCKET}")
    done = shards.pretrain("run", str(job), address=True, **keys)
    assert done.returncode in (EXIT_USER_ERROR, EXIT_FAILURE)
    assert f"[{code}]" in done.stderr
    assert "Traceback" not in done.stderr
