"""What wakes a job: changes of its children that somebody reads, each once."""

import asyncio
import contextlib

import psutil
import pytest
from support.cluster.kwok import SimulatedNodes
from support.kube import Cluster
from support.pods import a_pod

from pretrain_api.cluster import LABEL_JOB
from pretrain_operator.bodies.kubernetes import seen
from pretrain_operator.bodies.kubernetes.client import PODS, Client, Manifest, configuration
from pretrain_operator.bodies.kubernetes.informer import Informer, Key


def a_child(cluster: Cluster) -> Manifest:
    # A node that is not there: no kubelet and no scheduler changes the pod behind the test's back.
    pod = a_pod("gpt-w0-1", "trainer:1")
    pod["metadata"] |= {"namespace": cluster.namespace, "labels": {LABEL_JOB: "gpt"}}
    pod["spec"] |= {"nodeName": "nowhere", "automountServiceAccountToken": False}
    return pod


class Waker:
    """Counts the wake-ups."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.news = asyncio.Event()

    def __call__(self, key: Key) -> None:
        self.woken.append(key)
        self.news.set()


def test_a_child_that_we_made_wakes_once_and_what_nobody_reads_wakes_nobody(
    cluster: Cluster, simulated_nodes: SimulatedNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        client, waker = Client(await configuration()), Waker()
        informer = Informer(client, PODS, [cluster.namespace], seen.pod, waker)
        following = asyncio.create_task(informer.run())
        try:
            await informer.synced()
            made = await client.create(PODS, cluster.namespace, a_child(cluster))
            informer.add(made)
            for labels in ({"team": "a"}, {"pretrain.dev/attempt": "7"}):  # the second one is read
                change = {"metadata": {"labels": labels}}
                await client.merge(PODS, cluster.namespace, "gpt-w0-1", change)
            async with asyncio.timeout(60):
                while informer.of((cluster.namespace, "gpt"))["gpt-w0-1"].attempt != 7:
                    waker.news.clear()
                    await waker.news.wait()
            assert waker.woken == [(cluster.namespace, "gpt")] * 2
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            await client.close()
            # The loop may only end once the watch's TLS has said goodbye; left open, it fails whatever test comes next.
            port = simulated_nodes.plane.port

            def is_open() -> bool:
                return any(c.raddr and c.raddr.port == port for c in psutil.Process().net_connections("tcp"))

            async with asyncio.timeout(60):
                while is_open():  # noqa: ASYNC110 - nobody tells when a connection is gone
                    await asyncio.sleep(0.05)

    monkeypatch.setenv("KUBECONFIG", str(simulated_nodes.plane.kubeconfig))
    asyncio.run(story())
