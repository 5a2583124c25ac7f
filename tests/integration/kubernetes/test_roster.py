"""The first roster of an attempt is published only when nobody of an earlier one is there, whatever the operator's cache
says; those that follow it wait for nobody."""

import asyncio
from datetime import UTC, datetime

import pytest
from support.cluster.kwok import SimulatedNodes
from support.eventually import eventually
from support.kube import Cluster, Manifest, a_cluster_job
from support.pods import a_pod

from pretrain_api.cluster import LABEL_ATTEMPT, LABEL_JOB, LABEL_WORKER, world_name
from pretrain_api.world import Member, World
from pretrain_operator.bodies.kubernetes import body, seen
from pretrain_operator.bodies.kubernetes.body import KubernetesBody, Outdated, Surroundings
from pretrain_operator.bodies.kubernetes.children import PodSettings
from pretrain_operator.bodies.kubernetes.client import CONFIG_MAPS, JOBS, PODS, Client, configuration
from pretrain_operator.bodies.kubernetes.informer import Informer
from pretrain_operator.brain.plan import PublishWorld


def a_worker(cluster: Cluster, attempt: int) -> Manifest:
    """A running pod of an attempt."""
    name = f"test-w0-{attempt}"
    labels = {LABEL_JOB: "test", LABEL_WORKER: "0", LABEL_ATTEMPT: str(attempt)}
    pods = f"/api/v1/namespaces/{cluster.namespace}/pods"
    manifest = a_pod(name, "none")
    manifest["metadata"]["labels"] = labels
    eventually(lambda: "default" in [a["metadata"]["name"] for a in cluster.children("serviceaccounts")], bool, 30)
    cluster.api("POST", pods, manifest)
    return eventually(lambda: cluster.api.get(f"{pods}/{name}"), lambda p: p["status"].get("phase") == "Running", 60)


def a_world(generation: int, *pods: Manifest, attempt: int | None = None) -> World:
    roster = [
        Member(worker=i, pod=p["metadata"]["name"], uid=p["metadata"]["uid"], address=p["status"]["podIP"])
        for i, p in enumerate(pods)
    ]
    return World(generation=generation, attempt=attempt or generation, roster=tuple(roster), leader=roster[0].address)


async def publish(cluster: Cluster, job: Manifest, config: Manifest, world: World) -> None:
    """By a body that knows the job and its ConfigMap, and has seen no pod."""
    client = Client(await configuration())
    try:
        pods, jobs, configs = (
            Informer(client, PODS, [cluster.namespace], seen.POD, lambda key: None),
            Informer(client, JOBS, [cluster.namespace], seen.BATCH_JOB, lambda key: None),
            Informer(client, CONFIG_MAPS, [cluster.namespace], seen.CONFIG, lambda key: None),
        )
        configs.add(config)
        around = Surroundings(client, pods, jobs, configs, PodSettings("trainer:test"), now=lambda: datetime.now(UTC))
        await KubernetesBody(around, job).carry_out(PublishWorld(world))
    finally:
        await client.close()


@pytest.mark.parametrize("asked_by_name", [64, 0], ids=["by name", "by label"])
def test_waits_until_the_workers_of_the_roster_before_are_gone(
    simulated_nodes: SimulatedNodes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, asked_by_name: int
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(simulated_nodes.plane.kubeconfig))
    monkeypatch.setattr(body, "_ASKED_BY_NAME", asked_by_name)
    cluster.apply(a_cluster_job().manifest)
    old, new = a_worker(cluster, 1), a_worker(cluster, 2)
    job, config = cluster.job(), with_world(cluster, a_world(1, old))

    with pytest.raises(Outdated, match="test-w0-1"):
        asyncio.run(publish(cluster, job, config, a_world(2, new)))
    assert cluster.world()["generation"] == 1

    cluster.api("DELETE", f"/api/v1/namespaces/{cluster.namespace}/pods/test-w0-1")
    eventually(lambda: len(cluster.pods()), lambda count: count == 1, 60)
    asyncio.run(publish(cluster, job, config, a_world(2, new)))
    assert cluster.world()["generation"] == 2


def test_of_the_same_attempt_waits_for_nobody_and_follows_only_the_one_that_was_seen(
    simulated_nodes: SimulatedNodes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(simulated_nodes.plane.kubeconfig))
    cluster.apply(a_cluster_job().manifest)
    worker = a_worker(cluster, 1)
    job, config = cluster.job(), with_world(cluster, a_world(7, worker, attempt=1))
    asyncio.run(publish(cluster, job, config, a_world(8, worker, attempt=1)))
    assert cluster.world()["generation"] == 8
    with pytest.raises(Outdated):  # by somebody who has not seen the eighth
        asyncio.run(publish(cluster, job, config, a_world(9, worker, attempt=1)))
    assert cluster.world()["generation"] == 8


def with_world(cluster: Cluster, world: World) -> Manifest:
    """The job's ConfigMap with this roster in it."""
    job, configs = cluster.job(), f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    owner = {
        "apiVersion": job["apiVersion"],
        "kind": job["kind"],
        "name": "test",
        "uid": job["metadata"]["uid"],
        "controller": True,
    }
    metadata = {"name": world_name("test"), "labels": {LABEL_JOB: "test"}, "ownerReferences": [owner]}
    return cluster.api("POST", configs, {"metadata": metadata, "data": {"world": world.model_dump_json()}})
