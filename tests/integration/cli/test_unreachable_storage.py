"""A store at which nobody answers is one message and exit code 2, whichever command is asked."""

import os
import subprocess

import pytest
from support.local_runs import PRETRAIN

NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "command",
    [
        "status s3://bucket/run",
        "index s3://bucket/tars",
        "data audit s3://bucket/run",
        "data stats s3://bucket/run",
        "data verify s3://bucket/shards/manifest.json",
    ],
)
def test_is_told_without_a_traceback(command: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_MAX_ATTEMPTS": "1"}
    environment = {**os.environ, **keys, "AWS_ENDPOINT_URL": NOBODY}
    done = subprocess.run([PRETRAIN, *command.split()], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert NOBODY in done.stderr
    assert "[unreachable]" in done.stderr
    assert "Traceback" not in done.stderr
