"""The one place that talks to an API server: kubeconfig, requests, and errors that say what to do.

UserError
└── ApiRefusal      the API server refused a request; exit code 2
PretrainError
└── ServerError     the API server itself failed; exit code 1
"""

from __future__ import annotations

import copy
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlencode

import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import load_incluster_config
from kubernetes.config.kube_config import KubeConfigMerger, load_kube_config
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from pretrain_api import cluster
from pretrain_api.errors import PretrainError, UserError
from pretrain_api.problems import closest

Json = dict[str, Any]
Method = Literal["GET", "POST", "PATCH", "DELETE"]

_DEFAULT_FILE = "~/.kube/config"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_POD_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_IMPATIENT_SECONDS = 2.0
_MOST_CONNECTIONS = 256
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _SERVER_ERRORS = 401, 403, 404, 500
NOT_FOUND, CONFLICT, GONE, INVALID, TOO_MANY = _NOT_FOUND, 409, 410, 422, 429


class ApiRefusal(UserError):
    """What the API server answered instead of doing what was asked."""

    def __init__(self, code: str, where: str, what: str, instead: str, status: int, answer: Json) -> None:
        super().__init__(code, where, what, instead)
        self.status = status
        """The HTTP status."""
        self.answer = answer
        """The Status object, {} when the answer was none."""
        self.args = (code, where, what, instead, status, answer)


class ServerError(PretrainError):
    """The API server failed, or the connection to it broke."""


@dataclass(frozen=True)
class Connection:
    """A reachable API server and the namespace to look into ("": all)."""

    configuration: Configuration
    pools: urllib3.PoolManager
    namespace: str
    answer_seconds: float = _ANSWER_SECONDS

    @property
    def server(self) -> str:
        """Its address."""
        return str(self.configuration.host)

    def of(self, namespace: str) -> Connection:
        """The same in another namespace ("": all)."""
        return replace(self, namespace=namespace)

    def impatient(self) -> Connection:
        """The same, but it gives up soon and tries once: for what must be there while a person types."""
        configuration = copy.copy(self.configuration)
        configuration.retries = urllib3.Retry(False)
        return replace(
            self, configuration=configuration, pools=_pools(configuration), answer_seconds=_IMPATIENT_SECONDS
        )

    def read(self, path: str, accept: str = "", **query: object) -> Json:
        """GET an object."""
        answer: Json = json.loads(self._request("GET", path, query, accept=accept, whole=True).data)
        return answer

    def send(
        self, method: Method, path: str, body: Json | None, content_type: str, **query: object
    ) -> tuple[Json, int]:
        """Change an object; gives what it is now and the HTTP status."""
        response = self._request(method, path, query, body, content_type, whole=True)
        return json.loads(response.data), response.status

    def stream(self, path: str, silent_seconds: float, **query: object) -> urllib3.BaseHTTPResponse:
        """GET what goes on arriving. Raises urllib3's errors when the connection breaks or is silent for too long."""
        return self._request("GET", path, query, seconds=silent_seconds)

    def pages(self, path: str, query: Mapping[str, object], accept: str = "") -> Iterator[Json]:
        """GET a list, a few hundred objects at a time."""
        go_on = ""
        while True:
            page = self.read(path, accept, limit=500, **query, **({"continue": go_on} if go_on else {}))
            page["items"] = page.get("items") or []  # a list of bare metadata has null when it is empty
            yield page
            go_on = page["metadata"].get("continue", "")
            if not go_on:
                return

    def _request(
        self,
        method: Method,
        path: str,
        query: Mapping[str, object],
        body: Json | None = None,
        content_type: str = "",
        accept: str = "",
        seconds: float = 0.0,
        whole: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": accept or "application/json"} | ({"Content-Type": content_type} if content_type else {})
        # Asked for every time: a token that is about to end is replaced then.
        if bearer := self.configuration.auth_settings().get("BearerToken"):
            headers["Authorization"] = bearer["value"] or ""
        asked = urlencode([(key, _query_text(value)) for key, value in query.items() if value not in (None, "")])
        try:
            response = self.pools.request(
                method,
                f"{self.server}{path}" + (f"?{asked}" if asked else ""),
                headers=headers,
                body=None if body is None else json.dumps(body),
                timeout=urllib3.Timeout(
                    connect=min(_CONNECT_SECONDS, self.answer_seconds), read=seconds or self.answer_seconds
                ),
                preload_content=False,
            )
            if whole or response.status >= 300:
                _ = response.data  # read here, where a connection that breaks is caught
        except HTTPError as error:
            raise _unreachable(self.server, error) from None
        if response.status >= 300:
            raise _refused(self.server, response.status, _status_object(response))
        return response


def lines(answer: urllib3.BaseHTTPResponse, unfinished: list[bytes]) -> Iterator[bytes]:
    """The lines of a streamed answer; what stands after the last line break is put into `unfinished` instead."""
    rest = b""
    for chunk in answer.stream(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        unfinished.append(rest)


def connect(kubeconfig: str = "", context: str = "", namespace: str = "", all_namespaces: bool = False) -> Connection:
    """A connection as kubectl would make it: the options, then KUBECONFIG, then ~/.kube/config, then the pod's own.

    Asks the server nothing. Raises UserError when there is no usable kubeconfig.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it would tell of every retry
    configuration = Configuration()
    configuration.connection_pool_maxsize = _MOST_CONNECTIONS
    configuration.retries = urllib3.Retry(connect=1, read=0, status=0, other=0, redirect=2, backoff_factor=0.2)
    configuration.keep_alive = True
    files = kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT_FILE
    if _exists(files):
        own = _from_files(files, context, configuration)
    elif not (kubeconfig or context or os.environ.get("KUBECONFIG")) and os.path.exists(_POD_NAMESPACE):
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        with open(_POD_NAMESPACE, encoding="utf-8") as file:
            own = file.read().strip()
    else:
        instead = "Give --kubeconfig FILE, or set KUBECONFIG; `kubectl config view` shows what kubectl uses."
        raise UserError("no-kubeconfig", files, "no such kubeconfig, so no cluster is known.", instead)
    chosen = "" if all_namespaces else checked_name(namespace or own or "default", "--namespace")
    return Connection(configuration, _pools(configuration), chosen)


def _pools(configuration: Configuration) -> urllib3.PoolManager:
    """Connections with the certificates, the proxy and the patience of a configuration, as the Kubernetes client makes them."""
    pools: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
    return pools


def contexts(kubeconfig: str = "") -> list[str]:
    """Names of the contexts that there are. Raises UserError for what is no kubeconfig."""
    return sorted(_contexts(kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT_FILE)[0])


def is_name(name: str) -> bool:
    """Whether an object may be called so (RFC 1123)."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str, where: str) -> str:
    """A name of an object. Raises UserError for what can be none, such as what leads to another address."""
    if not is_name(name):
        instead = "Write lower-case letters, digits and hyphens, as `pretrain list -A` shows names."
        raise UserError("bad-name", where, f"{name!r} is no name of an object.", instead)
    return name


def _exists(files: str) -> bool:
    return any(os.path.isfile(os.path.expanduser(file)) for file in files.split(os.pathsep) if file)


def _contexts(files: str) -> tuple[dict[str, str], str]:
    """Each context's namespace by its name, and the current one."""
    import yaml

    try:
        merged = KubeConfigMerger(files).config  # type: ignore[no-untyped-call]
        entries = merged.value["contexts"] if merged else []
        known = {entry["name"]: str((entry.value["context"] or {}).get("namespace") or "") for entry in entries}
        return known, merged.value.get("current-context", "") if merged else ""
    except (ConfigException, yaml.YAMLError, KeyError, TypeError, AttributeError, OSError, ValueError) as error:
        what = f"not a kubeconfig: {str(error).splitlines()[0]}."
        raise UserError("kubeconfig-invalid", files, what, "Repair it, or give another with --kubeconfig.") from None


def _from_files(files: str, context: str, configuration: Configuration) -> str:
    """Fill the configuration; gives the context's namespace."""
    known, current = _contexts(files)
    chosen = context or current
    if chosen not in known:
        what = f"no context is called {chosen}." if chosen else "no current context is set."
        raise UserError("unknown-context", files, what, _other(chosen, known))
    try:
        load_kube_config(files, chosen, configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
        what = f"context {chosen} cannot be used: {str(error).splitlines()[0]}."
        raise UserError("kubeconfig-invalid", files, what, "Repair it, or choose another with --context.") from None
    return known[chosen]


def _other(chosen: str, contexts: Iterable[str]) -> str:
    known = sorted(contexts)
    if not known:
        return "The file has no contexts."
    near = closest(chosen, known)
    return f"Write --context {near}." if near else f"Contexts: {', '.join(known[:10])}."


def _query_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _status_object(response: urllib3.BaseHTTPResponse) -> Json:
    """The Status in an error's body; {"message": its text} when it is something else, as proxies answer."""
    text = response.data.decode("utf-8", "replace").strip()
    try:
        answer = json.loads(text)
    except ValueError:
        return {"message": text[:500]}
    return answer if isinstance(answer, dict) else {"message": text[:500]}


def _unreachable(server: str, error: Exception) -> PretrainError:
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    if isinstance(cause, SSLError) or "SSL" in str(cause)[:200]:
        what = f"its certificate or ours is refused: {_short(cause)}."
        return UserError("cluster-certificate", server, what, "Correct the cluster's or the user's certificate.")
    what = f"the API server does not answer: {_short(cause)}."
    instead = "Check that the cluster is up and that --context (or KUBECONFIG) names the one you mean."
    return UserError("cluster-unreachable", server, what, instead)


def _short(error: object) -> str:
    """An error without the names of Python objects and numbers of system errors."""
    text = str(error).splitlines()[-1] if str(error) else type(error).__name__
    return text.rpartition("] ")[2].rpartition("): ")[2].rstrip(".") or text


def _refused(server: str, status: int, answer: Json) -> PretrainError:
    message = str(answer.get("message", "")).rstrip(".")
    if status == _UNAUTHORIZED:
        instead = "Log in again, or use another user with --context."
        return ApiRefusal("not-logged-in", server, "it does not know who you are.", instead, status, answer)
    if status == _FORBIDDEN:
        what = message.partition("is forbidden: ")[2] or message
        instead = "Ask for a role that allows it, or give another namespace with -n."
        return ApiRefusal("forbidden", server, f"not allowed: {what}.", instead, status, answer)
    if status == _NOT_FOUND and answer.get("kind") != "Status":
        what = f"it knows no {cluster.PLURAL}.{cluster.GROUP}: the operator's CRD is not installed."
        instead = "Install it: kubectl apply --server-side -f manifests/crd.yaml, or the Helm chart."
        return ApiRefusal("crd-not-installed", server, what, instead, status, answer)
    if status >= _SERVER_ERRORS or status == TOO_MANY:
        return ServerError(f"{server}: answered {status}: {message}. Try again in a moment.")
    reason = answer.get("reason", f"HTTP {status}")
    instead = "Correct what it names, and try again."
    return ApiRefusal("api-refused", server, f"{reason}: {message}.", instead, status, answer)
