"""What becomes visible in the cluster, and when: watches that note the first time of each fact asked about."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable

from pretrain_api import cluster
from pretrain_operator.bodies.kubernetes.client import CONFIG_MAPS, PODS, PRETRAIN_JOBS, Client, Manifest, Resource

_SEEN_SECONDS = 300.0


class Sight:
    """The newest version of the jobs and worlds of a namespace, and how many pods of each attempt were made."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client, self._namespace = client, namespace
        self.disruptions: dict[str, int] = {}
        self.generations: dict[str, int] = {}
        self.pods: dict[tuple[str, str], int] = {}
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self, *, pods: bool = True) -> AsyncIterator["Sight"]:
        """Watch during the block. Pods bring many events; a measure that does not need them leaves them out."""
        kinds = [(PRETRAIN_JOBS, self._job), (CONFIG_MAPS, self._config), *([(PODS, self._pod)] if pods else [])]
        starts = [await self._client.list_page(resource, self._namespace, limit="1") for resource, _ in kinds]
        watches = [
            asyncio.create_task(self._watch(resource, start["metadata"]["resourceVersion"], take))
            for (resource, take), start in zip(kinds, starts, strict=True)
        ]
        try:
            yield self
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def when(self, holds: Callable[[], bool]) -> float:
        """The time at which it holds."""
        async with asyncio.timeout(_SEEN_SECONDS):
            while not holds():
                self._changed.clear()
                await self._changed.wait()
        return time.monotonic()

    async def disrupted(self, job: str, more_often_than: int) -> float:
        """The time at which another disruption of a job is recorded."""
        return await self.when(lambda: self.disruptions.get(job, 0) > more_often_than)

    async def _watch(self, resource: Resource, version: str, take: Callable[[str, Manifest], None]) -> None:
        while True:  # the API server ends a watch that it finds too slow
            async for event in self._client.watch(resource, self._namespace, resourceVersion=version):
                manifest = json.loads(bytes(event.object))
                version = manifest["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    take(event.type, manifest)
                    waiting, self._changed = self._changed, asyncio.Event()
                    waiting.set()

    def _job(self, kind: str, manifest: Manifest) -> None:
        name, status = manifest["metadata"]["name"], manifest.get("status", {})
        self.disruptions[name] = status.get("recovery", {}).get("disruptions", 0)

    def _config(self, kind: str, manifest: Manifest) -> None:
        name, world = manifest["metadata"]["name"], manifest.get("data", {}).get(cluster.WORLD_KEY)
        if world:
            self.generations[name.removesuffix(cluster.world_name(""))] = json.loads(world)["generation"]

    def _pod(self, kind: str, manifest: Manifest) -> None:
        labels = manifest["metadata"].get("labels", {})
        if kind == "ADDED" and cluster.LABEL_WORKER in labels:
            made = (labels[cluster.LABEL_JOB], labels[cluster.LABEL_ATTEMPT])
            self.pods[made] = self.pods.get(made, 0) + 1
