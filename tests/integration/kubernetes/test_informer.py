"""What wakes a job: changes of its children that somebody reads, each once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from support.cluster.kwok import SimulatedNodes
from support.kube import Cluster
from support.pods import a_pod

from pretrain_api.cluster import LABEL_JOB
from pretrain_operator.bodies.kubernetes import informer as informers
from pretrain_operator.bodies.kubernetes import manifests, seen
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


@contextlib.asynccontextmanager
async def an_informer(
    cluster: Cluster, kind: seen.Kind[seen.Pod] = seen.POD
) -> AsyncIterator[tuple[Client, Informer[seen.Pod], Waker]]:
    """One that follows the pods of the test's namespace."""
    configured = await configuration()
    client, waker = Client(configured), Waker()
    informer = Informer(client, PODS, [cluster.namespace], kind, waker)
    following = asyncio.create_task(informer.run())
    try:
        await informer.synced()
        yield client, informer, waker
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await client.close()
        # The loop may only end once the watch's TLS has said goodbye; left open, it fails whatever test comes next.

        def is_open() -> bool:
            port = urlsplit(configured.host).port
            return any(c.raddr and c.raddr.port == port for c in psutil.Process().net_connections("tcp"))

        async with asyncio.timeout(60):
            while is_open():  # noqa: ASYNC110 - nobody tells when a connection is gone
                await asyncio.sleep(0.05)


async def attempt_of(informer: Informer[seen.Pod], cluster: Cluster, waker: Waker, attempt: int) -> None:
    """Wait until the child of this test is known with that attempt."""
    async with asyncio.timeout(60):
        while getattr(informer.of((cluster.namespace, "gpt")).get("gpt-w0-1"), "attempt", None) != attempt:
            waker.news.clear()
            await waker.news.wait()


@pytest.fixture(autouse=True)
def the_cluster(simulated_nodes: SimulatedNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(simulated_nodes.plane.kubeconfig))


def test_a_child_that_we_made_wakes_once_and_what_nobody_reads_wakes_nobody(cluster: Cluster) -> None:
    async def story() -> None:
        async with an_informer(cluster) as (client, informer, waker):
            informer.add(await client.create(PODS, cluster.namespace, a_child(cluster)))
            for labels in ({"team": "a"}, {"pretrain.dev/attempt": "7"}):  # the second one is read
                await client.merge(PODS, cluster.namespace, "gpt-w0-1", {"metadata": {"labels": labels}})
            await attempt_of(informer, cluster, waker, 7)
            assert waker.woken == [(cluster.namespace, "gpt")] * 2

    asyncio.run(story())


def test_an_object_that_cannot_be_read_does_not_end_the_watching(cluster: Cluster) -> None:
    faults = [ValueError("a field that nobody expected")]

    def reduced(found: manifests.Pod) -> seen.Pod:
        if faults:
            raise faults.pop()
        return seen.POD.reduced(found)

    async def story() -> None:
        async with an_informer(cluster, seen.Kind(manifests.Pod, reduced)) as (client, informer, waker):
            await client.create(PODS, cluster.namespace, a_child(cluster))
            await attempt_of(informer, cluster, waker, 0)
            assert not faults

    asyncio.run(story())


def test_a_bookmark_is_no_pod(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informers, "_WATCH_SECONDS", 5)  # the API server sends one two seconds before a stream ends
    types, lists = list[str](), list[int]()
    watch, page_of = Client.watch, Client.page_of

    async def noted(self: Client, *args: Any, **query: str) -> AsyncIterator[manifests.WatchEvent]:
        async for event in watch(self, *args, **query):
            types.append(event.type)
            yield event

    async def counted(self: Client, *args: Any, **query: str) -> Any:
        lists.append(1)
        return await page_of(self, *args, **query)

    monkeypatch.setattr(Client, "watch", noted)
    monkeypatch.setattr(Client, "page_of", counted)

    async def story() -> None:
        async with an_informer(cluster) as (client, informer, waker):
            # A server that has seen no pod since it began has no version to tell, and sends no bookmarks.
            await client.create(PODS, cluster.namespace, a_child(cluster))
            await attempt_of(informer, cluster, waker, 0)
            async with asyncio.timeout(60):
                while "BOOKMARK" not in types:  # noqa: ASYNC110 - a stream's end is not told
                    await asyncio.sleep(0.05)
            attempt = {"metadata": {"labels": {"pretrain.dev/attempt": "7"}}}
            await client.merge(PODS, cluster.namespace, "gpt-w0-1", attempt)
            await attempt_of(informer, cluster, waker, 7)
            assert len(lists) == 1

    asyncio.run(story())
