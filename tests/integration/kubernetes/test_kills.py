"""The operator dies after every single one of its writes, one job for each: all jobs end the same.

The real body with the real client, in this process: a client that counts its writes ends the operator's life.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from support.cluster.fixtures import new_namespace
from support.cluster.kwok import SimulatedNodes
from support.kube import Api, Cluster, Manifest, Programs, a_cluster_job

from pretrain_api.stages import Stage
from pretrain_operator.bodies.kubernetes import seen
from pretrain_operator.bodies.kubernetes.body import KubernetesBody, Surroundings
from pretrain_operator.bodies.kubernetes.children import PodSettings
from pretrain_operator.bodies.kubernetes.client import (
    CONFIG_MAPS,
    JOBS,
    PODS,
    PRETRAIN_JOBS,
    ApiError,
    Client,
    configuration,
)
from pretrain_operator.bodies.kubernetes.informer import Informer, Key
from pretrain_operator.metrics import Metrics
from pretrain_operator.shell.daemon import Daemon
from pretrain_operator.shell.events import EventWriter

_WITHIN_SECONDS = 400
_AT_ONCE = 6
"""Jobs at one time: as many as a small machine carries."""


class Points:
    """The writes of one job so far, over all lives of its operator."""

    def __init__(self, deadly: str = "") -> None:
        self.deadly = deadly
        self.names: list[str] = []
        self.died = asyncio.Event()

    def add(self, what: str) -> str:
        """The name of this write: some are made side by side, so that a bare number would name one or the other."""
        number = sum(name.startswith(f"{what}, ") for name in self.names) + 1
        self.names.append(f"{what}, {number}")
        return self.names[-1]


class MortalClient(Client):
    """A client whose operator dies once a certain write was carried out: nobody hears the answer."""

    points: Points
    is_dead = False

    async def _send(self, method: str, address: str, *rest: Any) -> Any:
        if self.is_dead:
            await asyncio.Event().wait()
        answer = await super()._send(method, address, *rest)
        if method != "GET" and "/events" not in address:
            name = self.points.add(f"{method} {address.split('?')[0].rpartition('namespaces/')[2].partition('/')[2]}")
            if name == self.points.deadly:
                self.is_dead = True
                answer.close()
                self.points.died.set()
                await asyncio.Event().wait()
        return answer


async def _life(cluster: Cluster, points: Points) -> Manifest | None:
    """One life of an operator, to its death or to the job's end; gives the final status."""
    client = MortalClient(await configuration())
    client.points = points
    onlooker = Client(await configuration())  # outlives the operator, as the API server that brings the job does
    daemons: list[Daemon] = []

    def wake(key: Key) -> None:
        for daemon in daemons:
            daemon.wake()

    only = [cluster.namespace]
    pods = Informer(client, PODS, only, seen.POD, wake)
    jobs = Informer(client, JOBS, only, seen.BATCH_JOB, wake)
    configs = Informer(client, CONFIG_MAPS, only, seen.CONFIG, wake)
    around = Surroundings(client, pods, jobs, configs, PodSettings("trainer:test"))
    tasks = [asyncio.create_task(informer.run()) for informer in (pods, jobs, configs)]
    died = asyncio.create_task(points.died.wait())
    try:
        for informer in (pods, jobs, configs):
            await informer.synced()
        manifest = await onlooker.get(PRETRAIN_JOBS, cluster.namespace, "test")
        daemons.append(Daemon(KubernetesBody(around, manifest), EventWriter(client, "test"), Metrics()))
        while not died.done():
            manifest = await onlooker.get(PRETRAIN_JOBS, cluster.namespace, "test")
            if manifest.get("status", {}).get("state") in ("Succeeded", "Failed"):
                return manifest["status"]  # type: ignore[no-any-return]
            daemons[0].see(manifest)
            await asyncio.wait([died], timeout=0.5)
        return None
    finally:
        for task in (*tasks, died):
            task.cancel()
        for daemon in daemons:
            await daemon.stop()
        for each in (client, onlooker):
            with contextlib.suppress(ApiError):
                await each.close()


async def _ended(cluster: Cluster, deadly: str) -> tuple[Points, Manifest]:
    """A job whose operator dies after one write; a second one takes over."""
    points = Points(deadly)
    status = await _life(cluster, points)
    if status is None:
        points.deadly = ""
        points.died.clear()
        status = await _life(cluster, points)
    assert status is not None
    return points, status


def _play(plane_cluster: Callable[[], Cluster], deaths: list[str]) -> list[tuple[Points, Manifest, Cluster]]:
    """A job for each death, a few at a time."""

    async def all_of_them() -> list[tuple[Points, Manifest, Cluster]]:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(deadly: str) -> tuple[Points, Manifest, Cluster]:
            async with turns:
                cluster = await asyncio.to_thread(plane_cluster)
                await asyncio.to_thread(cluster.apply, a_cluster_job().manifest)
                with Programs(cluster).playing():
                    points, status = await asyncio.wait_for(_ended(cluster, deadly), _WITHIN_SECONDS)
                return points, status, cluster

        return await asyncio.gather(*(one(deadly) for deadly in deaths))

    return asyncio.run(all_of_them())


@pytest.mark.timeout(1200)
@pytest.mark.slow
def test_the_operator_may_die_after_any_write(simulated_nodes: SimulatedNodes, crd: None, monkeypatch: "Any") -> None:
    plane = simulated_nodes.plane
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))

    def make() -> Cluster:
        return Cluster(Api(plane), new_namespace(plane))

    [(undisturbed, expected, _)] = _play(make, [""])
    assert len(undisturbed.names) > 30
    killed = []
    for write, (points, status, cluster) in zip(undisturbed.names, _play(make, undisturbed.names), strict=True):
        where = f"killed after {write}: {points.names}"
        print(f"{'killed after' if write in points.names else 'ended without'} {write}: {status['state']}")
        killed += [write] * (write in points.names)
        assert status["state"] == "Succeeded", where
        for ended, wanted in zip(status["stages"], expected["stages"], strict=True):
            assert (ended["fingerprint"], ended["attempts"]) == (wanted["fingerprint"], 1), where
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 0), where
        assert len(cluster.pods()) == len(Stage), where
    # Changes that follow each other at once are one write: on a busy machine a job may need fewer of them.
    assert all(write.startswith("PATCH") for write in set(undisturbed.names) - set(killed))
