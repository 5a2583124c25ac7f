"""Requests to an API server in plain objects: limits, retries and errors. What is asked for is decided elsewhere."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config
from pydantic_core import from_json, to_json

from pretrain_api import jitter
from pretrain_api.cluster import GROUP, MANAGER, PLURAL, VERSION
from pretrain_api.errors import PretrainError, UserError
from pretrain_operator.bodies.kubernetes.limits import Limiter, Urgency
from pretrain_operator.bodies.kubernetes.manifests import Item, Page, WatchEvent
from pretrain_operator.tracing import UNTRACED, Span, Traces

Manifest = dict[str, Any]
"""An object of the API as JSON has it."""
Answer = TypeVar("Answer")

_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
REQUEST_SECONDS = 30.0
"""How long an answer may take, unless the operator is told another limit."""
_SILENCE_SECONDS = 90.0
"""A watch that brings nothing for so long is dead: an API server sends a bookmark every minute."""
_PASSING = frozenset((429, 500, 502, 503, 504))
"""Statuses of requests that may succeed a little later."""
_IN_FLIGHT = 64
_EVENTS = msgspec.json.Decoder(WatchEvent)
_whole: Callable[[bytes], Manifest] = from_json
"""Reads all of an object."""


@dataclass(frozen=True)
class Resource:
    """A kind of object and where its collection lies."""

    group_version: str
    kind: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of the collection, of an object or of a part of it."""
        root = f"/api/{self.group_version}" if "/" not in self.group_version else f"/apis/{self.group_version}"
        parts = [f"namespaces/{namespace}" if namespace else "", self.plural, quote(name), subresource]
        return "/".join([root, *(part for part in parts if part)])


PRETRAIN_JOBS = Resource(f"{GROUP}/{VERSION}", "PretrainJob", PLURAL)
PODS = Resource("v1", "Pod", "pods")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
SERVICES = Resource("v1", "Service", "services")
SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")
EVENTS = Resource("v1", "Event", "events")
JOBS = Resource("batch/v1", "Job", "jobs")
ROLES = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
NETWORK_POLICIES = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")


class ApiError(PretrainError):
    """The API server's answer to a request that it did not carry out; status 0 when it did not answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message

    @property
    def is_gone(self) -> bool:
        """Whether the object, or the place in the history that was asked for, is not there."""
        return self.status in (404, 410)

    @property
    def is_conflict(self) -> bool:
        """Whether somebody else was first."""
        return self.status == 409

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later without anybody doing anything."""
        return self.status in _PASSING or self.status == 0


async def configuration() -> kubernetes_client.Configuration:
    """The address and credentials of the cluster: a kubeconfig where there is one, else those of this pod."""
    found = kubernetes_client.Configuration()
    file = os.environ.get("KUBECONFIG") or _kubeconfig()
    try:
        if file:
            await kubernetes_config.load_kube_config(config_file=file, client_configuration=found)  # type: ignore[no-untyped-call]
        else:
            kubernetes_config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
    except kubernetes_config.ConfigException as error:
        raise UserError(
            "no-cluster",
            "KUBECONFIG",
            f"No cluster is known here ({error}).",
            "Set KUBECONFIG to a kubeconfig file, or run the operator in a pod with a service account.",
        ) from None
    # Left to itself, aiohttp looks into ~/.netrc and the environment for each request: a quarter of our time.
    found.proxy = found.proxy or _proxy_of_the_environment(found.host)
    found.client_session_kwargs = {"trust_env": False}
    return found


def _proxy_of_the_environment(host: str) -> str | None:
    """What HTTPS_PROXY and NO_PROXY say about an address."""
    address = urlsplit(host)
    return None if proxy_bypass(address.netloc) else getproxies().get(address.scheme)


def _kubeconfig() -> str:
    """The user's kubeconfig; empty when there is none."""
    file = os.path.expanduser("~/.kube/config")
    return file if os.path.exists(file) else ""


class Client:
    """One connection to an API server. Every request waits for its turn and is repeated while that makes sense."""

    def __init__(
        self,
        configured: kubernetes_client.Configuration,
        rate: float = 100.0,
        burst: int = 200,
        on_answer: Callable[[str, int], None] = lambda verb, code: None,
        request_seconds: float = REQUEST_SECONDS,
        traces: Traces = UNTRACED,
    ) -> None:
        self._api = kubernetes_client.ApiClient(configured)
        self._api.user_agent = MANAGER
        self.limiter = Limiter(rate, burst)
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT)
        self._on_answer = on_answer
        self._request_seconds = request_seconds
        self._traces = traces

    async def close(self) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest:
        return await self._request(_whole, "GET", resource.path(namespace, name))

    async def list_page(self, resource: Resource, namespace: str, **query: str) -> Manifest:
        """A page of a collection; `metadata.continue` leads to the next."""
        return await self._request(_whole, "GET", resource.path(namespace), query)

    async def page_of(self, content: type[Item], resource: Resource, namespace: str, **query: str) -> Page[Item]:
        """The same, read only as far as `content` has fields."""
        # Its type is only known here; mypy takes a type in a variable for a variable.
        pages = msgspec.json.Decoder(Page[content])  # type: ignore[valid-type]
        return await self._request(pages.decode, "GET", resource.path(namespace), query)

    async def create(
        self, resource: Resource, namespace: str, manifest: Manifest, urgency: Urgency = Urgency.USUAL
    ) -> Manifest:
        return await self._request(
            _whole, "POST", resource.path(namespace), {"fieldManager": MANAGER}, manifest, urgency=urgency
        )

    async def apply(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        """Server-side apply: our fields as written, everybody else's left alone."""
        return await self._request(
            _whole,
            "PATCH",
            resource.path(namespace, manifest["metadata"]["name"]),
            {"fieldManager": MANAGER, "force": "true"},
            manifest,
            content_type="application/apply-patch+yaml",
        )

    async def merge(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Manifest,
        subresource: str = "",
        urgency: Urgency = Urgency.FIRST,
    ) -> Manifest:
        """A JSON merge patch; with metadata.resourceVersion in it, only if nobody wrote since."""
        return await self._request(
            _whole,
            "PATCH",
            resource.path(namespace, name, subresource),
            {"fieldManager": MANAGER},
            patch,
            urgency=urgency,
            content_type="application/merge-patch+json",
        )

    async def replace(self, resource: Resource, namespace: str, name: str, manifest: Manifest) -> Manifest:
        return await self._request(_whole, "PUT", resource.path(namespace, name), {}, manifest, urgency=Urgency.FIRST)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, grace: int | None = None) -> None:
        """Delete an object, if it still is the one with this uid. One that is gone is fine."""
        options: Manifest = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self._request(_whole, "DELETE", resource.path(namespace, name), {}, options)
        except ApiError as error:
            if not error.is_gone and not error.is_conflict:  # a conflict: another object of that name
                raise

    async def watch(self, resource: Resource, namespace: str, **query: str) -> AsyncGenerator[WatchEvent]:
        """The events of a collection as they come, until the server ends the stream. Raises ApiError."""
        query = {**query, "watch": "true", "allowWatchBookmarks": "true"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE_SECONDS)
        try:
            response = await self._send("GET", f"{resource.path(namespace)}?{urlencode(query)}", None, "", timeout)
            try:
                if response.status >= 400:
                    raise _error(response.status, await response.read())
                async for line in response.content:
                    event = _EVENTS.decode(line)
                    if event.type == "ERROR":
                        status = from_json(bytes(event.object))
                        raise ApiError(int(status.get("code", 0)), status.get("reason", ""), status.get("message", ""))
                    yield event
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiError(0, type(error).__name__, str(error)) from error

    async def _request(
        self,
        decode: Callable[[bytes], Answer],
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        urgency: Urgency = Urgency.USUAL,
        content_type: str = "application/json",
    ) -> Answer:
        address = f"{path}?{urlencode(query)}" if query else path
        with self._traces.request(method, path) as span:
            for attempt in range(1, _ATTEMPTS + 1):
                await self.limiter.turn(urgency)
                after = 0.0
                try:
                    async with self._in_flight:
                        timeout = aiohttp.ClientTimeout(total=self._request_seconds, sock_connect=10)
                        response = await self._send(method, address, body, content_type, timeout)
                        content = await response.read()
                    self._answered(span, method, response.status, attempt)
                    if response.status < 400:
                        return decode(content)
                    error = _error(response.status, content)
                    after = float(response.headers.get("Retry-After", 0) or 0)
                except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
                    self._answered(span, method, 0, attempt)
                    error = ApiError(0, type(fault).__name__, f"{method} {path}: {fault}")
                if not error.may_pass or attempt == _ATTEMPTS:
                    raise error
                await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, max(after, _pause(attempt))))
        raise AssertionError("the last attempt returns or raises")

    def _answered(self, span: Span, method: str, status: int, attempt: int) -> None:
        self._on_answer(method, status)
        if status:
            span.set_attribute("http.response.status_code", status)
        if attempt > 1:
            span.set_attribute("http.request.resend_count", attempt - 1)

    async def _send(
        self, method: str, address: str, body: Manifest | None, content_type: str, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        # Compressed, a large list costs both sides more time than the network of a cluster saves.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": MANAGER}
        if content_type:
            headers["Content-Type"] = content_type
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], address, method, body)
        rest = self._api.rest_client
        if rest.pool_manager is None:
            rest.pool_manager = rest._create_pool_manager()
        return await rest.pool_manager.request(
            method,
            self._api.configuration.host + address,
            headers=headers,
            data=None if body is None else to_json(body),
            proxy=self._api.configuration.proxy,
            timeout=limits,
        )


def _pause(attempt: int) -> float:
    """Growing pauses with full jitter, so that many callers do not come back at once."""
    return jitter.between(0, _FIRST_PAUSE_SECONDS * 2**attempt)


def _error(status: int, content: bytes) -> ApiError:
    """The error in an answer; proxies on the way may answer with something that is no Status object."""
    try:
        said = from_json(content)
        return ApiError(status, str(said.get("reason", "")), str(said.get("message", "")))
    except (ValueError, AttributeError):
        return ApiError(status, "", content[:200].decode(errors="replace"))
