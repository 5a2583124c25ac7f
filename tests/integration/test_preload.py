"""What the agent does before it forks: nothing that a fork would break.

The pools of OpenBLAS and Arrow, which importing them starts, know about forks themselves.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import token_runs

PROGRAM = """
import json, sys, threading
import torch

def touched(*_):
    raise AssertionError("an accelerator was touched before the fork")

torch.cuda._lazy_init = torch._C._cuda_init = touched
from pretrain_api.types import PretrainJob
from pretrain_trainer.agent.preload import preload

preload(PretrainJob.model_validate_json(open(sys.argv[1]).read()).spec)
print(json.dumps([torch.cuda.is_initialized(), threading.active_count()]))
"""


@pytest.mark.parametrize("uri", ["", "s3://bucket/run"], ids=["folder", "S3"])
def test_no_accelerator_is_touched_and_no_thread_is_started_before_ranks_are_forked(tmp_path: Path, uri: str) -> None:
    job = token_runs.a_job(tmp_path)
    job["spec"]["storage"]["uri"] = uri or job["spec"]["storage"]["uri"]
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[false, 1]"
