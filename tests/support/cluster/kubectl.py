"""kubectl on one cluster, for tests: text in, text or objects out."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from support.cluster import programs


class Failed(AssertionError):
    """kubectl ended with an error; the message is what it said."""


class Kubectl:
    """Runs kubectl as the user of one kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def __call__(self, *arguments: str, objects: Any = None, within_seconds: float = 60.0) -> str:
        """Standard output. `objects` go to standard input: one object, a list of them, or YAML text."""
        done = self.run(*arguments, objects=objects, within_seconds=within_seconds)
        if done.returncode:
            raise Failed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def run(
        self, *arguments: str, objects: Any = None, within_seconds: float = 60.0
    ) -> "subprocess.CompletedProcess[str]":
        """What kubectl said and how it ended, errors included."""
        if isinstance(objects, list):
            objects = {"apiVersion": "v1", "kind": "List", "items": objects}
        text = objects if isinstance(objects, str) or objects is None else json.dumps(objects)
        return subprocess.run(
            [programs.find("kubectl"), *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=within_seconds,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )

    def get(self, *arguments: str) -> Any:
        """Objects as `kubectl get ... -o json` shows them."""
        return json.loads(self("get", *arguments, "-o", "json"))

    def apply(self, objects: Any) -> None:
        self("apply", "--server-side", "-f", "-", objects=objects)
