"""One operator process: connect, lead, follow children, let Kopf bring the jobs, end cleanly."""

import asyncio
import contextlib
import dataclasses
import logging
import math
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import kopf

from pretrain_api.cluster import GROUP, PLURAL, VERSION
from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, UserError
from pretrain_operator import tracing
from pretrain_operator.bodies.kubernetes import observe, seen
from pretrain_operator.bodies.kubernetes.body import KubernetesBody, Surroundings
from pretrain_operator.bodies.kubernetes.children import PodSettings
from pretrain_operator.bodies.kubernetes.client import (
    CONFIG_MAPS,
    JOBS,
    NODES,
    PODS,
    PRETRAIN_JOBS,
    ApiError,
    Client,
    Manifest,
    configuration,
)
from pretrain_operator.bodies.kubernetes.informer import Informer, Key
from pretrain_operator.metrics import Metrics
from pretrain_operator.shell.daemon import Daemon
from pretrain_operator.shell.events import EventWriter
from pretrain_operator.shell.lease import Leadership
from pretrain_operator.shell.probes import Probes
from pretrain_operator.shell.settings import OperatorSettings
from pretrain_operator.tracing import Traces

STALE_SECONDS = 180.0
"""A watch that was silent for so long is stale: bookmarks come every minute."""
_AGAIN_SECONDS = 5.0
"""Between two tries to list PretrainJobs at the start."""
_JOBS_PAGE = "500"
_SETTLED_SECONDS = 60.0
"""After so long Kopf has brought every job that there is."""
_SAMPLE_SECONDS = 5.0
_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_NO_FINALIZER = f"{GROUP}/none"
"""Kopf removes a finalizer that it takes for its own when no handler needs one; ours must not be it."""
_LOG = logging.getLogger(__name__)


class Operator:
    """Everything that lives as long as the process."""

    def __init__(self, settings: OperatorSettings, client: Client, metrics: Metrics, traces: Traces) -> None:
        self._settings, self._client, self.metrics, self._traces = settings, client, metrics, traces
        self.identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._daemons: dict[Key, Daemon] = {}
        self._first_seen: dict[Key, KubernetesBody] = {}
        """Jobs that were listed before Kopf brought them."""
        self._events = EventWriter(client, self.identity)
        self._surroundings = Surroundings(
            client,
            Informer(client, PODS, settings.namespaces, seen.POD, self._wake),
            Informer(client, JOBS, settings.namespaces, seen.BATCH_JOB, self._wake),
            Informer(client, CONFIG_MAPS, settings.namespaces, seen.CONFIG, self._wake),
            PodSettings(settings.trainer_image, settings.image_pull_policy, settings.image_pull_secrets),
            None if settings.namespaces else Informer(client, NODES, (), seen.NODE, self._wake_those_on),
        )
        self._leaving_nodes: set[str] = set()
        self._neighbours_known_at = math.inf
        self._is_ready = False
        self._is_ending = False
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Work until told to stop; gives the exit code."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        leadership = None
        if settings.leader_election:
            leadership = Leadership(self._client, settings.lease_namespace or own_namespace(), self.identity)
        # A replica that waits for its turn is as it should be, while one works. An installation is ready once one does.
        probes = Probes(self._wrong, lambda: self._is_ready and (leadership is None or leadership.is_held))
        await probes.serve_health(settings.health_address)
        await probes.serve_metrics(settings.metrics_address, self.metrics.text)
        try:
            if not await self._unless_stopped(self._crd_is_there()):
                return EXIT_OK
            self._is_ready = True
            if leadership is None:
                return await self._lead(None)
            if not await self._unless_stopped(leadership.won()):
                return EXIT_OK
            code = await self._lead(leadership)
            await leadership.release()
            return code
        finally:
            await probes.close()
            await self._client.close()

    async def _lead(self, leadership: Leadership | None) -> int:
        self.metrics.leading.set(1)
        informers = (self._surroundings.pods, self._surroundings.jobs, self._surroundings.configs)
        # Nobody waits until the nodes are known: whoever may not read them goes on without notices.
        nodes = [self._surroundings.nodes.run()] if self._surroundings.nodes else []
        followed = [*(informer.run() for informer in informers), *nodes]
        async with _ended_with([*followed, self._events.run(), self._sample()]) as helpers:
            lost = asyncio.create_task(_cannot_lead(leadership, helpers))
            synced = asyncio.gather(*(informer.synced() for informer in informers))
            try:
                if not await self._unless_stopped(synced, lost):
                    return EXIT_FAILURE if lost.done() else EXIT_OK
                _LOG.info("all children are known: %d pods", self._surroundings.pods.count())
                if not await self._unless_stopped(self._neighbours_known(), lost):
                    return EXIT_FAILURE if lost.done() else EXIT_OK
                was_served = await self._serve(lost)
                return EXIT_FAILURE if lost.done() or not was_served else EXIT_OK
            finally:
                lost.cancel()
                self.metrics.leading.set(0)

    async def _serve(self, lost: asyncio.Future[Any]) -> bool:
        """Let Kopf bring the jobs until we are told to stop or do not lead any more; False when it no longer can."""
        stop = asyncio.Event()
        kopf_run = asyncio.create_task(
            kopf.operator(
                registry=self._registry(),
                clusterwide=not self._settings.namespaces,
                namespaces=self._settings.namespaces,
                stop_flag=stop,
                settings=_kopf_settings(),
            )
        )
        told = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([kopf_run, told, lost], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._stop_daemons()
            stop.set()
            told.cancel()
        await asyncio.wait([kopf_run])
        if error := kopf_run.exception():
            # Our caches may hold what is no more: the next process begins with none, and waits for what is missing.
            _LOG.error(
                "PretrainJobs cannot be watched any more (%s: %s). If they are no longer known, their "
                "CustomResourceDefinition is gone; the operator ends, to be started again and wait for it.",
                type(error).__name__,
                str(error).strip(),
            )
            return False
        return True

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**kwargs: Any) -> Any:
            return kopf.login_with_kubeconfig(**kwargs) or _account_of_the_pod(**kwargs)

        # Kopf's own daemons are not started for a job that is already being deleted when the operator starts, and its
        # finalizer goes with them; ours stays until the job's programs have left (docs/decisions/0004).
        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def on_job_event(event: Any, body: Any, **kwargs: Any) -> None:
            await self._see(event["type"], event["object"])

        @kopf.on.cleanup(registry=registry)
        async def on_cleanup(**kwargs: Any) -> None:
            await self._stop_daemons()

        return registry

    async def _see(self, kind: str, manifest: Manifest) -> None:
        key = (manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        known = self._daemons.get(key)
        if kind == "DELETED":
            if known and known.uid == manifest["metadata"]["uid"]:
                del self._daemons[key]
                await known.stop()
                self._surroundings.neighbours.forget(key)
        elif known:
            known.see(manifest)
        elif not self._is_ending:
            body = self._first_seen.pop(key, None) or KubernetesBody(self._surroundings, manifest)
            self._daemons[key] = Daemon(body, self._events, self.metrics, self._traces)
            self._daemons[key].see(manifest)

    def _wake(self, key: Key) -> None:
        if daemon := self._daemons.get(key):
            daemon.wake()

    def _wake_those_on(self, key: Key) -> None:
        """A node has changed: wake the jobs that have pods there, if it says that it goes, or does not say so any more."""
        _, name = key
        nodes = self._surroundings.nodes
        is_leaving = bool(nodes and observe.notices_of(nodes.of(key).values()))
        if is_leaving or name in self._leaving_nodes:
            (self._leaving_nodes.add if is_leaving else self._leaving_nodes.discard)(name)
            for job, daemon in self._daemons.items():
                if any(pod.node == name for pod in self._surroundings.pods.of(job).values()):
                    daemon.wake()

    async def _stop_daemons(self) -> None:
        self._is_ending = True
        daemons, self._daemons = list(self._daemons.values()), {}
        await asyncio.gather(*(daemon.stop() for daemon in daemons))

    async def _crd_is_there(self) -> None:
        """Wait for the CustomResourceDefinition: the chart may install it after us."""
        namespace = next(iter(self._settings.namespaces), "")
        while True:
            try:
                await self._client.list_page(PRETRAIN_JOBS, namespace, limit="1")
                return
            except ApiError as error:
                _LOG.warning("PretrainJobs cannot be listed yet: %s", error)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _neighbours_known(self) -> None:
        """See every job before the first is worked on: one may be at work in a storage that another one waits for."""
        for namespace in self._settings.namespaces or [""]:
            query = {"limit": _JOBS_PAGE}
            while True:
                try:
                    page = await self._client.list_page(PRETRAIN_JOBS, namespace, **query)
                except ApiError as error:
                    _LOG.warning("PretrainJobs cannot be listed: %s", error)
                    await asyncio.sleep(_AGAIN_SECONDS)
                    query = {"limit": _JOBS_PAGE}
                    continue
                for manifest in page["items"]:
                    body = KubernetesBody(self._surroundings, manifest)
                    self._first_seen[body.key] = body
                if not (following := page["metadata"].get("continue")):
                    break
                query["continue"] = following
        self._neighbours_known_at = asyncio.get_running_loop().time()

    async def _sample(self) -> None:
        while True:
            if asyncio.get_running_loop().time() - self._neighbours_known_at > _SETTLED_SECONDS:
                # Nobody tells of a job that went before Kopf saw it.
                self._surroundings.neighbours.keep(self._daemons)
                self._first_seen.clear()
            self.metrics.queue.set(self._client.limiter.waiting)
            self.metrics.silence.set(self._silence())
            await asyncio.sleep(_SAMPLE_SECONDS)

    def _silence(self) -> float:
        around = self._surroundings
        return max(informer.silence_seconds() for informer in (around.pods, around.jobs, around.configs))

    def _wrong(self) -> dict[str, object]:
        silence = self._silence()
        return {"watchSilenceSeconds": round(silence)} if silence > STALE_SECONDS else {}

    async def _unless_stopped(self, work: Any, *others: asyncio.Future[Any]) -> bool:
        """Wait for the work; False when we were told to stop, or another one ended, before."""
        task, told = asyncio.ensure_future(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([task, told, *others], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return bool(task.done())
        finally:
            for waiting in (task, told):
                waiting.cancel()


async def serve(settings: OperatorSettings) -> int:
    """Run an operator. Raises UserError when it cannot begin."""
    metrics, traces = Metrics(), tracing.configured(os.environ)
    try:
        client = Client(
            await configuration(), settings.qps, settings.burst, metrics.answered, settings.request_timeout, traces
        )
        return await Operator(settings, client, metrics, traces).run()
    finally:
        traces.close()


def own_namespace() -> str:
    """The namespace that this process lives in."""
    if namespace := os.environ.get("POD_NAMESPACE"):
        return namespace
    try:
        with open(_NAMESPACE_FILE) as file:
            return file.read().strip()
    except FileNotFoundError:
        raise UserError(
            "no-lease-namespace",
            "--lease-namespace",
            "The operator does not run in a pod, so that its namespace is not known.",
            "Write --lease-namespace NAMESPACE, or --no-leader-election when it is the only one.",
        ) from None


def _account_of_the_pod(**kwargs: Any) -> Any:
    """The pod's service account. Kopf asks for kubernetes.default.svc; the address of the API server needs no DNS."""
    found = kopf.login_with_service_account(**kwargs)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if found is None or not host:
        return found
    return dataclasses.replace(found, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


class _NothingToCompare(kopf.DiffBaseStorage):
    """Kopf would copy each version of each job to compare it with the one before, which no handler of ours asks for."""

    def build(self, **kwargs: Any) -> Any:
        return {}

    def fetch(self, **kwargs: Any) -> Any:
        return None

    def store(self, **kwargs: Any) -> None:
        pass


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.persistence.finalizer = _NO_FINALIZER
    settings.persistence.diffbase_storage = _NothingToCompare()
    settings.networking.request_timeout = 30
    settings.watching.server_timeout = 300
    settings.process.ultimate_exiting_timeout = 30
    return settings


async def _cannot_lead(leadership: Leadership | None, helpers: Sequence[asyncio.Task[Any]]) -> None:
    """Ends when somebody else leads, or when a helper failed that should never end: a process started anew has it again."""
    async with _ended_with([leadership.lost()] if leadership else []) as ending:
        done, _ = await asyncio.wait([*ending, *helpers], return_when=asyncio.FIRST_COMPLETED)
    for helper in done.intersection(helpers):
        _LOG.critical("a part of the operator ended; this is a defect", exc_info=helper.exception())


@contextlib.asynccontextmanager
async def _ended_with(work: Sequence[Any]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Work that goes on during the block and ends with it."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
