"""A roster is published only when nobody of the one before is there, whatever the operator's cache says."""

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


def a_world(generation: int, *pods: Manifest) -> World:
    roster = [
        Member(worker=i, pod=p["metadata"]["name"], uid=p["metadata"]["uid"], address=p["status"]["podIP"])
        for i, p in enumerate(pods)
    ]
    return World(generation=generation, attempt=generation, roster=tuple(roster), leader=roster[0].address)


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
    job = cluster.job()
    old, new = a_worker(cluster, 1), a_worker(cluster, 2)
    configs = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    owner = {
        "apiVersion": job["apiVersion"],
        "kind": job["kind"],
        "name": "test",
        "uid": job["metadata"]["uid"],
        "controller": True,
    }
    metadata = {"name": world_name("test"), "labels": {LABEL_JOB: "test"}, "ownerReferences": [owner]}
    data = {"world": a_world(1, old).model_dump_json()}
    config = cluster.api("POST", configs, {"metadata": metadata, "data": data})

    with pytest.raises(Outdated, match="test-w0-1"):
        asyncio.run(publish(cluster, job, config, a_world(2, new)))
    assert cluster.world()["generation"] == 1

    cluster.api("DELETE", f"/api/v1/namespaces/{cluster.namespace}/pods/test-w0-1")
    eventually(lambda: len(cluster.pods()), lambda count: count == 1, 60)
    asyncio.run(publish(cluster, job, config, a_world(2, new)))
    assert cluster.world()["generation"] == 2
