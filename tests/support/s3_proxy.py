"""A proxy before an S3 server that makes faults as told: errors, cut connections, late answers, flipped bits. It counts what
was asked for."""

from __future__ import annotations

import asyncio
import io
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import aiohttp
from aiohttp import web
from support.threaded import in_thread
from yarl import URL


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    """`/bucket/key?query`"""
    range: str
    """The header, `bytes=0-99`; empty without one."""
    bytes: int = 0
    """Of the request's body."""
    is_copy: bool = False
    """Whether it asks the store to copy an object."""

    @property
    def is_listing(self) -> bool:
        return self.method == "GET" and self.path.partition("?")[0].strip("/").count("/") == 0


@dataclass(frozen=True)
class Answer:
    """What happens to a request. Without anything said, it is passed on and so is its answer."""

    code: str = ""
    """An S3 error code instead, such as SlowDown."""
    status: int = 503
    """HTTP status of that error."""
    cut: bool = False
    """The connection ends in the middle of the answer."""
    late_seconds: float = 0.0
    flip: bool = False
    """One bit of the body is another."""
    etag: str = ""
    """Told in place of the object's own."""


Script = Callable[[Asked], Answer]
_MESSAGE = "made by the test"


@dataclass(frozen=True)
class Weather:
    """Random faults, at given rates, from a seed."""

    seed: int = 0
    errors: float = 0.0
    late: float = 0.0
    late_seconds: float = 2.0
    cuts: float = 0.0
    latency_seconds: float = 0.0

    def script(self) -> Script:
        rng = random.Random(self.seed)

        def answer(asked: Asked) -> Answer:
            dice = rng.random(), rng.random(), rng.random()
            result = Answer(late_seconds=self.latency_seconds)
            if dice[0] < self.errors:
                return replace(result, code=rng.choice(["SlowDown", "InternalError"]))
            if dice[1] < self.late:
                result = replace(result, late_seconds=self.latency_seconds + self.late_seconds)
            return replace(result, cut=dice[2] < self.cuts)

        return answer


class S3Proxy:
    """Plain HTTP on this machine. Signatures stay right since the headers are passed on as they came."""

    def __init__(self, upstream: str, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.made: list[tuple[Asked, Answer]] = []
        """Requests that were not simply passed on."""
        self._upstream = upstream
        self.url = ""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.method,
            request.raw_path,
            request.headers.get("Range", ""),
            request.content_length or 0,
            "x-amz-copy-source" in request.headers,
        )
        self.asked.append(asked)
        answer = self.script(asked)
        if answer != Answer():
            self.made.append((asked, answer))
        if answer.late_seconds:
            await asyncio.sleep(answer.late_seconds)
        if answer.code:
            text = f"<Error><Code>{answer.code}</Code><Message>{_MESSAGE}</Message></Error>"
            return web.Response(status=answer.status, text=text, content_type="application/xml")
        async with self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=request.headers,
            data=io.BytesIO(body) if (body := await request.read()) else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as upstream:
            content = bytearray(await upstream.read())
            length = upstream.headers.get("Content-Length", str(len(content)))
            headers = {k: v for k, v in upstream.headers.items() if k not in ("Content-Length", "Transfer-Encoding")}
        if answer.etag:
            headers["ETag"] = answer.etag
        if answer.flip and content:
            content[len(content) // 2] ^= 1
        response = web.StreamResponse(status=upstream.status, headers={**headers, "Content-Length": length})
        await response.prepare(request)
        if request.method != "HEAD":
            await response.write(bytes(content[: len(content) // 2] if answer.cut else content))
        if answer.cut:
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof()
        return response

    async def _serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as self._session:
            app = web.Application(client_max_size=1 << 30)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            started.set()
            await stop.wait()
            await runner.cleanup()


@contextmanager
def s3_proxy(upstream: str, script: Script = lambda asked: Answer()) -> Iterator[S3Proxy]:
    """A running proxy before the server at the address."""
    proxy = S3Proxy(upstream, script)
    with in_thread(proxy._serve):
        yield proxy
