"""kubectl on one cluster, for tests, and plain reads without it: text in, text or objects out."""

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import urllib3
from support.cluster import programs


class Failed(AssertionError):
    """kubectl ended with an error, or the API server refused; the message is what it said."""


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

    def read(self, path: str, **query: str) -> Any:
        """The object or list at a path of the API, over a connection that is kept: for what a test asks again and again.
        Each start of kubectl costs some 40 ms of processor time, a read half of one."""
        client = _client(self.kubeconfig, self.kubeconfig.stat().st_mtime_ns)
        request = client.param_serialize(
            "GET", path, query_params=list(query.items()), auth_settings=["BearerToken"],
            header_params={"Accept": "application/json"},
        )  # fmt: skip
        try:
            answer = client.call_api(*request, _request_timeout=30)
            content = answer.read()
        except urllib3.exceptions.HTTPError as error:
            raise Failed(f"GET {path}: {error}") from error
        if answer.status >= 300:
            raise Failed(f"GET {path}: {answer.status} {content.decode(errors='replace')}")
        return json.loads(content)

    def apply(self, objects: Any) -> None:
        self("apply", "--server-side", "-f", "-", objects=objects)


@functools.lru_cache(maxsize=4)
def _client(kubeconfig: Path, written: int) -> kubernetes.client.ApiClient:
    """By the time when the file was written too: the next cluster may have the place of the one before."""
    configuration = kubernetes.client.Configuration()
    configuration.retries = False
    kubernetes.config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    return kubernetes.client.ApiClient(configuration)
