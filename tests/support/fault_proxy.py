"""A proxy before an API server that makes faults as told: errors, cut connections, answers lost after the write happened."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import aiohttp
from aiohttp import web
from support.cluster.control_plane import ControlPlane
from support.threaded import in_thread

Fault = int | Literal["cut", "lost", "end", "late", "slow"] | None
"""A status instead of the answer; the connection cut before or, lost, after the request was carried out; a watch that
ends with 410 after its first event; an answer that is held until a client with `PATIENCE_SECONDS` has gone, or nearly so
long. The request of a held answer was carried out at once."""
PATIENCE_SECONDS = 3.0
"""Of a client that late answers are made for."""
_HELD_SECONDS = {"late": 2 * PATIENCE_SECONDS, "slow": PATIENCE_SECONDS / 4}
Script = Callable[[str, str], Fault]
"""What happens to a request, by method and path with query."""


class FaultProxy:
    """Plain HTTP on this machine; behind it the API server as administrator."""

    def __init__(self, plane: ControlPlane, script: Script) -> None:
        self.script = script
        self.made: list[tuple[str, str, Fault]] = []
        """The faults that were made."""
        proof = plane.authority.client_of("admin")
        self._context = ssl.create_default_context(cafile=str(plane.authority.certificate))
        self._context.load_cert_chain(proof.certificate, proof.key)
        self._url = plane.url
        self.port = 0

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads to the proxy."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": "none"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = folder / "proxy.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        fault = self.script(request.method, path)
        if fault is not None:
            self.made.append((request.method, path, fault))
        if isinstance(fault, int):
            status = {"kind": "Status", "code": fault, "reason": "Fault", "message": "made by the test"}
            return web.json_response(status, status=fault)
        if fault == "cut":
            return self._cut(request)
        headers = {k: v for k, v in request.headers.items() if k.lower() in ("content-type", "accept")}
        body = await request.read()
        async with self._session.request(
            request.method, self._url + path, data=body or None, headers=headers, ssl=self._context
        ) as answer:
            if fault == "lost":
                await answer.read()
                return self._cut(request)
            if fault in _HELD_SECONDS:
                content = await answer.read()
                await asyncio.sleep(_HELD_SECONDS[fault])
                return web.Response(body=content, status=answer.status, content_type=answer.content_type)
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
                if fault == "end" and chunk.endswith(b"\n"):  # a whole event
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "made by the test"}
                    await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                    break
            await response.write_eof()
            return response

    @staticmethod
    def _cut(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as self._session:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            started.set()
            await stop.wait()
            await runner.cleanup()


@contextmanager
def fault_proxy(plane: ControlPlane, script: Script) -> Iterator[FaultProxy]:
    """A running proxy."""
    proxy = FaultProxy(plane, script)
    with in_thread(proxy._serve):
        yield proxy
