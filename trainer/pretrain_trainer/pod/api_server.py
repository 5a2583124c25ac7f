"""ConfigMaps of the pod's own namespace, over HTTPS with the service account's token. No retries here."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pretrain_api.cluster import ENV_NAMESPACE
from pretrain_api.errors import PretrainError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts the token and the authority's certificate."""
_TIMEOUT_SECONDS = 10.0
_SURELY_WRONG_SECONDS = 2.0


class Refused(PretrainError):
    """The API server answered with an error."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(status, what)
        self.status, self.what = status, what

    def __str__(self) -> str:
        return f"{self.status} {self.what}"


class ApiServer:
    """One API server, as a pod sees it. Errors are `Refused`, and OSError or HTTPException where there is no answer."""

    def __init__(self, host: str, port: int, namespace: str, service_account: Path = SERVICE_ACCOUNT) -> None:
        self._host, self._port, self._service_account = host, port, service_account
        self._config_maps = f"/api/v1/namespaces/{quote(namespace)}/configmaps"
        self._tls: ssl.SSLContext | None = None
        self._ahead: float | None = None

    @classmethod
    def of_pod(cls, service_account: Path = SERVICE_ACCOUNT) -> ApiServer:
        """The API server that the pod's environment names."""
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
        return cls(host, port, os.environ[ENV_NAMESPACE], service_account)

    def patch(self, name: str, data: dict[str, str]) -> None:
        """Set keys of a ConfigMap; the others stay."""
        body = json.dumps({"data": data}).encode()
        headers = {"Content-Type": "application/merge-patch+json"}
        with self._answer("PATCH", f"{self._config_maps}/{quote(name)}", _TIMEOUT_SECONDS, body, headers) as answer:
            answer.read()

    def seconds_ahead(self) -> float:
        """How far its clock is ahead of this machine's, by the date of its newest answer. 0 where they may well agree: such
        dates are in whole seconds, and their way takes time."""
        if self._ahead is None:
            with contextlib.suppress(Refused), self._answer("GET", "/version", _TIMEOUT_SECONDS) as answer:
                answer.read()
        return self._ahead if self._ahead and abs(self._ahead) >= _SURELY_WRONG_SECONDS else 0.0

    def watch(self, name: str, seconds: int) -> Iterator[dict[str, str]]:
        """The data of a ConfigMap as it is and as it changes, for so long. Nothing while there is no such object."""
        query = f"watch=true&fieldSelector=metadata.name%3D{quote(name)}&timeoutSeconds={seconds}"
        with self._answer("GET", f"{self._config_maps}?{query}", seconds + _TIMEOUT_SECONDS) as answer:
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Refused(int(event["object"].get("code", 500)), str(event["object"].get("message", "")))
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"].get("data") or {}

    @contextmanager
    def _answer(
        self, method: str, path: str, timeout: float, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self._service_account / "ca.crt"))
        token = (self._service_account / "token").read_text().strip()  # at each use: the kubelet renews it
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        try:
            own = {"Authorization": f"Bearer {token}", "Accept": "application/json", **(headers or {})}
            asked = time.time()
            connection.request(method, path, body, own)
            answer = connection.getresponse()
            ahead = _ahead(answer.headers.get("Date"), asked, time.time())
            self._ahead = self._ahead if ahead is None else ahead
            if answer.status >= 300:
                raise Refused(answer.status, _message(answer.read()))
            yield answer
        finally:
            connection.close()


def _ahead(date: str | None, asked: float, answered: float) -> float | None:
    """What a date (RFC 9110) says of the clock of who wrote it between these two times. None without one of that form and of
    this century, and where the answer took long."""
    if not (date and date.endswith(" GMT") and 0 <= answered - asked < _SURELY_WRONG_SECONDS):
        return None
    try:
        written = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return written.timestamp() + 0.5 - (asked + answered) / 2 if 2000 <= written.year < 2100 else None


def _message(content: bytes) -> str:
    """What a Status object says; the beginning of the text where it is none."""
    try:
        status: Any = json.loads(content)
        return str(status["message"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode(errors="replace")
