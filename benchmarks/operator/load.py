"""What the cluster is asked to do: jobs whose training is next, a bare client's pods, the workers' reports."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from kubernetes.aio import client as kubernetes_client
from support.jobs import JobBuilder
from support.kube import a_cluster_job, a_storage

from pretrain_api import cluster
from pretrain_api.report import Report
from pretrain_api.stages import UPSTREAM, Stage
from pretrain_operator.bodies.kubernetes import children
from pretrain_operator.bodies.kubernetes.children import Owner, PodSettings
from pretrain_operator.bodies.kubernetes.client import (
    CONFIG_MAPS,
    PODS,
    PRETRAIN_JOBS,
    ROLE_BINDINGS,
    SERVICE_ACCOUNTS,
    Client,
    Manifest,
    Resource,
)
from pretrain_operator.brain.plan import StartStage

IN_FLIGHT = 64
REPORT_SECONDS = 10.0
"""How often a real worker reports (`pretrain_trainer.pod.reporter`)."""
NAMESPACES = Resource("v1", "Namespace", "namespaces")
_BEFORE = [stage for stage in Stage if stage in (Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE)]


class Load:
    """Requests of everybody who is not the operator. No limit but the number in flight."""

    def __init__(self, configured: kubernetes_client.Configuration) -> None:
        self.client = Client(configured, rate=1e6, burst=1_000_000)
        self._bare = kubernetes_client.ApiClient(configured)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Load"]:
        try:
            yield self
        finally:
            await self.client.close()
            await self._bare.close()

    async def namespace(self, name: str) -> None:
        await self.client.create(NAMESPACES, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    # Jobs

    async def jobs_before_training(self, namespace: str, names: list[str], workers: int) -> None:
        """Suspended jobs whose earlier stages are recorded as complete, as after a suspension at this point.

        The operator has taken them in: its finalizer is on them, nothing else was made for them.
        """
        manifests = [{**_job(name, workers, suspend=True).manifest, "metadata": {"name": name}} for name in names]
        await _each(self.client.create(PRETRAIN_JOBS, namespace, manifest) for manifest in manifests)
        await self.until(lambda: self._all_in(namespace, set(names), "Suspended"))
        stages = [_complete(stage) if stage in _BEFORE else {"name": stage.value} for stage in Stage]
        status = {"status": {"stages": stages}}
        await _each(self.client.merge(PRETRAIN_JOBS, namespace, name, status, "status") for name in names)

    async def start_training(self, namespace: str, names: list[str]) -> None:
        await _each(self.client.merge(PRETRAIN_JOBS, namespace, name, {"spec": {"suspend": False}}) for name in names)

    async def until_published(self, namespace: str, names: list[str], workers: int) -> None:
        """Every job has a roster of all its workers."""

        async def holds() -> bool:
            jobs = await self.jobs(namespace)
            return all(jobs[name].get("world", {}).get("ready") == workers for name in names)

        await self.until(holds, every_seconds=2.0)

    async def jobs(self, namespace: str) -> dict[str, Manifest]:
        """The status of every job by name."""
        page = await self.client.list_page(PRETRAIN_JOBS, namespace, resourceVersion="0")
        return {job["metadata"]["name"]: job.get("status", {}) for job in page["items"]}

    # Pods

    async def pods(self, namespace: str) -> int:
        """How many there are. The API server counts; reading them all would disturb the measurement."""
        page = await self.client.list_page(PODS, namespace, limit="1")
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))

    async def until_pods(self, namespace: str, count: int) -> None:
        async def holds() -> bool:
            return await self.pods(namespace) >= count

        await self.until(holds, every_seconds=0.2)

    async def lose(self, namespace: str, pod: str) -> None:
        """A pod that is there no more, without a word."""
        found = await self.client.get(PODS, namespace, pod)
        await self.client.delete(PODS, namespace, pod, found["metadata"]["uid"], grace=0)

    # The bare client

    async def accounts(self, namespace: str, names: Iterable[str]) -> None:
        """The ServiceAccounts without which pods are refused."""
        kind = {"apiVersion": "v1", "kind": "ServiceAccount"}
        await _each(
            self.client.create(SERVICE_ACCOUNTS, namespace, {**kind, "metadata": {"name": name}}) for name in names
        )

    async def bare_pods(self, namespace: str, names: list[str], workers: int) -> None:
        """The very pods that the operator makes for these jobs, from a client that does nothing else."""
        pods = [pod for name in names for pod in _pods(namespace, name, workers)]
        await _each(self._bare_create(PODS, pod) for pod in pods)

    async def bare_objects(self, namespace: str, names: list[str], workers: int) -> None:
        """All objects that the operator makes for these jobs."""
        turns = asyncio.Semaphore(IN_FLIGHT)

        async def create(resource: Resource, manifest: Manifest) -> None:
            async with turns:
                await self._bare_create(resource, manifest)

        async def one(name: str) -> None:
            owner = _owner(namespace, name, workers)
            around = [*children.surroundings(owner), (CONFIG_MAPS, children.job_config(owner))]
            # The order that an API server asks for: a binding after its Role, pods after their account.
            await asyncio.gather(*(create(r, m) for r, m in around if r is not ROLE_BINDINGS))
            await asyncio.gather(*(create(r, m) for r, m in around if r is ROLE_BINDINGS))
            await asyncio.gather(*(create(PODS, pod) for pod in _pods(namespace, name, workers)))

        await asyncio.gather(*(one(name) for name in names))

    async def remove_pods(self, namespace: str) -> None:
        """All pods of a namespace, so that each round begins alike."""
        await self._ask("DELETE", f"{PODS.path(namespace)}?gracePeriodSeconds=0", None)

    async def _bare_create(self, resource: Resource, manifest: Manifest) -> None:
        await self._ask("POST", resource.path(manifest["metadata"]["namespace"]), manifest)

    async def _ask(self, method: str, path: str, body: Manifest | None) -> None:
        # Answers are not read into models: this client is as fast as it can be.
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        response = await self._bare.call_api(method, self._bare.configuration.host + path, headers, body)
        answer = await response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.decode(errors='replace')}")

    # Reports

    @asynccontextmanager
    async def reporting(self, namespace: str, names: list[str]) -> AsyncIterator[None]:
        """Every job's worker 0 reports as a real one does; the jobs are spread over the interval."""
        pause = REPORT_SECONDS / len(names)
        waiting: set[asyncio.Task[object]] = set()

        async def follow() -> None:
            begin = time.monotonic()
            for turn, name in enumerate(itertools.cycle(names)):
                await asyncio.sleep(max(0.0, begin + turn * pause - time.monotonic()))
                step = 1 + turn // len(names)
                patch = {"data": {cluster.REPORT_KEY: _report(step)}}
                report = cluster.report_name(name)
                task = asyncio.create_task(self.client.merge(CONFIG_MAPS, namespace, report, patch))
                waiting.add(task)
                task.add_done_callback(waiting.discard)

        following = asyncio.create_task(follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, *waiting, return_exceptions=True)

    @asynccontextmanager
    async def probing(self, namespace: str) -> AsyncIterator[list[float]]:
        """Seconds that one small write took, ten times a second: what the cluster does to everybody."""
        name, found = "probe", list[float]()
        kind = {"apiVersion": "v1", "kind": "ConfigMap"}
        await self.client.create(CONFIG_MAPS, namespace, {**kind, "metadata": {"name": name}})

        async def probe() -> None:
            while True:
                begin = time.monotonic()
                await self.client.merge(CONFIG_MAPS, namespace, name, {"data": {"at": str(begin)}})
                found.append(time.monotonic() - begin)
                await asyncio.sleep(0.1)

        probing = asyncio.create_task(probe())
        try:
            yield found
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    # Waiting

    async def until(
        self, holds: Callable[[], Awaitable[bool]], within_seconds: float = 600, every_seconds: float = 0.2
    ) -> None:
        async with asyncio.timeout(within_seconds):
            while not await holds():  # noqa: ASYNC110 - what is waited for is another process's work
                await asyncio.sleep(every_seconds)

    async def _all_in(self, namespace: str, names: set[str], state: str) -> bool:
        jobs = await self.jobs(namespace)
        return all(jobs.get(name, {}).get("state") == state for name in names)


def _job(name: str, workers: int, **spec: object) -> JobBuilder:
    training = {**a_cluster_job().manifest["spec"]["training"], "globalBatchSize": 2 * workers}
    storage = {**a_storage(), "uri": f"s3://bucket/{name}"}
    return a_cluster_job(storage=storage, workers={"min": workers, "max": workers}, training=training, **spec)


def _complete(stage: Stage) -> Manifest:
    now = datetime.now(UTC).isoformat()
    return {
        "name": stage.value,
        "state": "Complete",
        "attempts": 1,
        "fingerprint": _fingerprint(stage),
        "startTime": now,
        "completionTime": now,
    }


def _fingerprint(stage: Stage) -> str:
    return f"{stage.lower()}-made"


def _owner(namespace: str, name: str, workers: int) -> Owner:
    job = _job(name, workers).job
    metadata = job.metadata.model_copy(update={"name": name, "namespace": namespace})
    return Owner(job.model_copy(update={"metadata": metadata}), f"uid-of-{name}")


def _pods(namespace: str, name: str, workers: int) -> list[Manifest]:
    owner, settings = _owner(namespace, name, workers), PodSettings("trainer:test")
    upstream = {stage: _fingerprint(stage) for stage in UPSTREAM[Stage.TRAIN]}
    start = StartStage(Stage.TRAIN, 1, upstream, parts=workers)
    return [children.training_pod(owner, start, worker, settings) for worker in range(workers)]


def _report(step: int) -> str:
    figures = {"step": step, "totalSteps": 100_000, "samples": step * 512, "tokens": step * 1e6, "loss": 2.0 + 1 / step}
    figures |= {"tokensPerSecond": 1e5, "mfuRatio": 0.41, "dataWaitRatio": 0.003}
    report = Report(
        stage=Stage.TRAIN, attempt=1, phase="step", time=datetime.now(UTC), done=step, unit="steps", figures=figures
    )
    return json.dumps(report.model_dump(mode="json"))


async def _each(work: Iterable[Awaitable[object]]) -> None:
    """All of it, so many at once."""
    waiting = iter(work)

    async def some() -> None:
        for one in waiting:
            await one

    await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))
