"""Helm on a cluster, as its administrator."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.charts import CHART, NAMESPACE, RELEASE, Values
from support.cluster import programs
from support.cluster.kubectl import Kubectl

CRD = "crd/pretrainjobs.pretrain.dev"
WAIT = ("--wait", "--timeout=300s")
"""Until pods are ready, also on a busy machine."""


class Helm:
    """Runs Helm as the user of kubectl's kubeconfig."""

    def __init__(self, kubectl: Kubectl) -> None:
        self.kubectl = kubectl

    def run(self, *arguments: str | Path, values: Values | None = None) -> "subprocess.CompletedProcess[str]":
        """What Helm said and how it ended, errors included."""
        command = [programs.find("helm"), *map(str, arguments), "--kubeconfig", str(self.kubectl.kubeconfig)]
        if values is not None:
            command.append("--values=-")
        return subprocess.run(
            command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=400
        )

    def __call__(self, *arguments: str | Path, values: Values | None = None) -> str:
        done = self.run(*arguments, values=values)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def release(self, values: Values, chart: Path = CHART, name: str = RELEASE) -> Iterator[None]:
        """An installed chart whose pods are ready. At the end all is as before: the release that was there, or none,
        without definition and jobs."""
        found = self.run("get", "values", name, "-n", NAMESPACE, "-o", "json")
        try:
            self("upgrade", "--install", name, chart, "-n", NAMESPACE, *WAIT, values=values)
            yield
        finally:
            if found.returncode == 0:
                self("upgrade", "--install", name, CHART, "-n", NAMESPACE, *WAIT, values=json.loads(found.stdout) or {})
            else:
                self.remove(name)

    def remove(self, name: str) -> None:
        """Take a release away, with definition and jobs."""
        # Jobs go while the operator is there to release them.
        self.kubectl.run("delete", "pretrainjobs", "--all", "--all-namespaces", "--timeout=120s", within_seconds=180)
        self.run("uninstall", name, "-n", NAMESPACE, "--wait", "--ignore-not-found")
        self.kubectl("delete", CRD, "--ignore-not-found")
