"""The scale benchmark of the operator works: its smallest size gives a figure for every target."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.cluster import programs
from support.cluster.missing import visibly
from support.kube import ROOT

pytestmark = pytest.mark.slow


def test_gives_a_figure_for_every_target(tmp_path: Path) -> None:
    with visibly():
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl"):
            programs.find(name)
    output = tmp_path / "quick.json"
    command = [sys.executable, ROOT / "benchmarks/operator/run.py", "--quick", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert all(figure["measured"] >= 0 for figure in found["targets"].values())
    assert found["targets"]["creationRatio"]["measured"] > 0
    assert len(found["reaction"]["losses"]) == found["settings"]["losses"] - 1  # the last one is profiled
