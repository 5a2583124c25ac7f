"""Where the operator is measured: the real API server, etcd and scheduler, simulated nodes, and the operator's process."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.cluster import processes
from support.cluster.control_plane import ControlPlane, api_server
from support.cluster.kwok import SimulatedNodes
from support.eventually import eventually
from support.kube import ROOT, OperatorProcess

NODES = 8
_QUIET_CORES = 0.2
_QUIET_WITHIN_SECONDS = 300
RAISED = ("--qps=5000", "--burst=10000")
"""Client limits that never bind, so that the code is measured and not the setting."""
WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class Place:
    """A running cluster and a folder for logs."""

    plane: ControlPlane
    folder: Path

    @contextlib.contextmanager
    def operator(self, namespace: str, *flags: str) -> Iterator["Operator"]:
        operator = Operator(self, namespace, *flags)
        try:
            operator.start()
            yield operator
        finally:
            operator.kill()

    def cpu_seconds(self) -> dict[str, float]:
        """What the cluster's programs have used so far, by program."""
        return {one.name: _cpu_seconds(one.process) for one in processes.recorded(self.plane.folder)}

    async def until_quiet(self) -> None:
        """Wait until the cluster's programs have little to do: what came before weighs on nothing that follows."""
        async with asyncio.timeout(_QUIET_WITHIN_SECONDS):
            busy = 1.0
            while busy > _QUIET_CORES:
                before = sum(self.cpu_seconds().values())
                await asyncio.sleep(1)
                busy = sum(self.cpu_seconds().values()) - before

    def writes(self) -> dict[str, float]:
        """Writes that the API server has answered so far, by resource, whoever made them."""
        found: dict[str, float] = {}
        lines = self.plane.raw("/metrics").decode().splitlines()
        counts = "\n".join(line for line in lines if line.startswith("apiserver_request_total"))
        for family in text_string_to_metric_families(counts):
            for sample in family.samples:
                if sample.labels["verb"] in WRITES:
                    name = "/".join(filter(None, (sample.labels["resource"], sample.labels["subresource"])))
                    found[name] = found.get(name, 0) + sample.value
        return found

    async def until_written(self, name: str, count: float) -> None:
        """Wait until the API server has answered so many writes of a resource."""
        async with asyncio.timeout(_QUIET_WITHIN_SECONDS):
            while (await asyncio.to_thread(self.writes)).get(name, 0.0) < count:  # noqa: ASYNC110 - another's work
                await asyncio.sleep(0.5)


class Operator(OperatorProcess):
    """The operator's process, and what can be seen of it from outside."""

    def __init__(self, place: Place, namespace: str, *flags: str) -> None:
        super().__init__(place.plane.kubeconfig, place.folder, *flags, namespace=namespace)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def resident_bytes(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def cpu_seconds(self) -> float:
        return _cpu_seconds(psutil.Process(self.pid))

    def jobs_reconciled(self) -> int:
        """Jobs that were reconciled at least once in this process's life; 0 before it answers."""
        text = self.answer(self.metrics, "/metrics")[1]
        return int(next((ln.split()[1].split(".")[0] for ln in text.splitlines() if ln.startswith(_JOBS)), 0))

    def knows_children(self) -> bool:
        return "all children are known" in self.log.read_text()

    @contextlib.contextmanager
    def profiled(self) -> Iterator[list[str]]:
        """Sample the Python stacks of the process during the block; the list is filled at its end."""
        stacks: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "stacks"
            sampler = subprocess.Popen(
                ["py-spy", "record", "--pid", str(self.pid), "--rate", "100", "--nonblocking", "--format", "raw",
                 "--duration", "unlimited", "--output", output],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": _PATH},
            )  # fmt: skip
            try:
                yield stacks
            finally:
                sampler.send_signal(signal.SIGINT)
                sampler.wait(60)
                stacks += output.read_text().splitlines()


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


_JOBS = "pretrain_operator_jobs "
_PATH = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """A cluster of its own, gone at the end. Of the controllers only that of nodes runs, without which nothing is
    scheduled: no measure needs another, and what one writes about a job's Service would weigh on the operator's rounds
    alone."""
    with api_server("--delete-collection-workers=16") as plane, tempfile.TemporaryDirectory() as folder:
        plane.start_controllers("--controllers=node-lifecycle-controller")
        plane.start_scheduler()
        nodes = SimulatedNodes(plane)
        try:
            nodes.start(NODES)
            plane.kubectl.apply(yaml.safe_load((ROOT / "manifests/crd.yaml").read_text()))
            eventually(lambda: plane.raw("/apis/pretrain.dev/v1alpha1/pretrainjobs"), bool, 60)
            yield Place(plane, Path(folder))
        finally:
            nodes.stop()


def version_of(plane: ControlPlane) -> str:
    with contextlib.suppress(OSError, urllib.error.URLError):
        return str(json.loads(plane.raw("/version"))["gitVersion"])
    return "unknown"
