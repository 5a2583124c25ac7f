"""Commands on a cluster with the operator's chart: `pretrain doctor`, and TorchX with the scheduler `pretrain`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from support.cluster.foreign import AnyCluster
from support.cluster.remote_job import RemoteJob, a_spec, keys
from support.eventually import eventually
from support.torchx_environment import Environment, environment

__all__ = ["environment"]

PRETRAIN = str(Path(sys.executable).parent / "pretrain")


def test_an_installed_operator_is_well(installed: AnyCluster, namespace: str) -> None:
    environment = {**os.environ, "KUBECONFIG": str(installed.kubeconfig)}
    command = [PRETRAIN, "doctor", "-n", namespace, "-o", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = {each["check"]: each for each in json.loads(done.stdout)["findings"] if each["area"] == "Cluster"}
    levels = {
        check: found[check]["level"] for check in ("reached", "crd", "access", "operator", "jobs", "nodes", "watch")
    }
    assert levels == dict.fromkeys(levels, "ok"), done.stdout
    assert done.returncode == 0


def test_torchx_starts_shows_and_suspends_a_job(
    installed: AnyCluster, corpus: str, namespace: str, environment: Environment, tmp_path: Path
) -> None:
    job = RemoteJob(installed, namespace, "by-torchx", a_spec(installed, corpus))
    job.apply(keys(installed))
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job.manifest))

    def torchx(*arguments: str) -> str:
        done = environment.program("torchx", *arguments, KUBECONFIG=str(installed.kubeconfig))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = ["-cfg", f"namespace={namespace}"]
    handle = torchx("run", "-s", "pretrain", *where, "pretrain.job", "--file", str(tmp_path / "job.yaml")).strip()
    assert handle == f"pretrain://torchx/{namespace}:by-torchx"
    assert handle in torchx("list", "-s", "pretrain")
    job.until("Preparing", 300)
    assert "State: RUNNING" in torchx("status", handle)
    assert eventually(lambda: torchx("log", f"{handle}/collect"), bool, 60)
    torchx("cancel", handle)
    job.until("Suspended", 300)
    assert "State: CANCELLED" in torchx("status", handle)
    assert job.running() == []
