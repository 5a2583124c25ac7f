"""The pods that PodMonitors mean, for a Prometheus that cannot ask the API server: what the Prometheus operator and Prometheus'
own discovery do with such a monitor, its labels of targets included."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.cluster.kubectl import Failed, Kubectl
from support.cluster.prometheus import Prometheus

Json = dict[str, Any]
_EVERY_SECONDS = 1.0


@contextmanager
def scraped(prometheus: Prometheus, kubectl: Kubectl, monitors: Sequence[Json], rules: Path) -> Iterator[None]:
    """Prometheus runs with the rules, and scrapes what the monitors mean, while the block runs."""
    folder = prometheus.folder / "pods"
    folder.mkdir(parents=True, exist_ok=True)
    prometheus.start(rules, [scrape_config(monitor, folder) for monitor in monitors])
    over = threading.Event()

    def look() -> None:
        while not over.wait(_EVERY_SECONDS):
            # While the API server is away, the pods are those of before.
            with suppress(Failed, OSError):
                for monitor in monitors:
                    _write(_file(folder, monitor), found(monitor, _listed(kubectl, monitor)))

    thread = threading.Thread(target=look, name="discovery", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        prometheus.stop()


def scrape_config(monitor: Json, folder: Path) -> Json:
    """The entry of `scrape_configs` for a monitor with one endpoint, whose targets are written into the folder."""
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    return {
        "job_name": f"podMonitor/{_name(monitor)}/0",
        "honor_labels": endpoint.get("honorLabels", False),
        "scrape_interval": endpoint["interval"],
        "file_sd_configs": [{"files": [str(_file(folder, monitor))], "refresh_interval": "10s"}],
    }


def found(monitor: Json, pods: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Targets with their labels: containers whose port has the endpoint's name, of pods that have not ended."""
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    return [
        {
            "targets": [f"{pod['status']['podIP']}:{port['containerPort']}"],
            "labels": {
                "job": _name(monitor),
                "namespace": pod["metadata"]["namespace"],
                "pod": pod["metadata"]["name"],
                "container": container["name"],
                "endpoint": endpoint["port"],
            },
        }
        for pod in pods
        if pod["status"].get("podIP") and pod["status"]["phase"] not in ("Succeeded", "Failed")
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
        if port.get("name") == endpoint["port"]
    ]


def _listed(kubectl: Kubectl, monitor: Json) -> list[Json]:
    selector, namespaces = monitor["spec"]["selector"]["matchLabels"], monitor["spec"].get("namespaceSelector", {})
    labels = ",".join(f"{name}={value}" for name, value in selector.items())
    names = namespaces.get("matchNames", [monitor["metadata"]["namespace"]])
    paths = ["/api/v1/pods"] if namespaces.get("any") else [f"/api/v1/namespaces/{name}/pods" for name in names]
    return [pod for path in paths for pod in kubectl.read(path, labelSelector=labels)["items"]]


def _name(monitor: Json) -> str:
    return f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}"


def _file(folder: Path, monitor: Json) -> Path:
    return folder / f"{monitor['metadata']['name']}.json"


def _write(path: Path, content: list[Json]) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(content))
    scratch.rename(path)
