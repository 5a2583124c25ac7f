"""What probes and scrapers ask over HTTP: /healthz, /readyz and /metrics."""

import asyncio
import json
from collections.abc import Callable

from aiohttp import web


class Probes:
    """Two small servers: one for the kubelet, one for Prometheus."""

    def __init__(self, is_alive: Callable[[], dict[str, object]], is_ready: Callable[[], bool]) -> None:
        """`is_alive`: what is wrong, by name; empty when nothing is."""
        self._is_alive, self._is_ready = is_alive, is_ready
        self._runners: list[web.AppRunner] = []

    async def serve_health(self, address: str) -> None:
        """Answer probes at HOST:PORT."""
        await self._serve(address, {"/healthz": self._health, "/readyz": self._readiness})

    async def serve_metrics(self, address: str, figures: Callable[[str], tuple[bytes, str]]) -> None:
        """Answer scrapers at HOST:PORT. `figures`: given what a scraper accepts, all of them, and the type of their format."""

        async def metrics(request: web.Request) -> web.Response:
            # On a thread: with a thousand jobs it takes long enough for events to wait.
            text, content_type = await asyncio.to_thread(figures, request.headers.get("Accept", ""))
            return web.Response(body=text, headers={"Content-Type": content_type})

        await self._serve(address, {"/metrics": metrics})

    async def close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _serve(self, address: str, handlers: dict[str, Callable[[web.Request], object]]) -> None:
        host, _, port = address.rpartition(":")
        app = web.Application()
        for path, handler in handlers.items():
            app.router.add_get(path, handler)  # type: ignore[arg-type]
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, host.strip("[]") or "0.0.0.0", int(port)).start()

    async def _health(self, request: web.Request) -> web.Response:
        wrong = self._is_alive()
        return web.Response(text=json.dumps(wrong) if wrong else "ok", status=500 if wrong else 200)

    async def _readiness(self, request: web.Request) -> web.Response:
        return web.Response(text="ok") if self._is_ready() else web.Response(text="not ready", status=503)
