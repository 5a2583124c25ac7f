"""`pretrain doctor` on a cluster with the operator's chart."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support.cluster.foreign import AnyCluster

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
