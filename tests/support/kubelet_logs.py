"""The part of a kubelet that gives logs, over HTTPS as an API server asks for it, and breaks where a test wants it."""

from __future__ import annotations

import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from support.cluster.control_plane import ControlPlane

from pretrain_cli.cluster.connection import connect

_EPOCH = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Kubelet:
    """Logs of pods by name, on a node that it registers. Times are its own: a line a millisecond, from a fixed noon."""

    def __init__(self, plane: ControlPlane, node: str) -> None:
        self.node = node
        self.requests: list[str] = []
        """Query of every request for a log."""
        self.most_at_once = 0
        self._plane = plane
        self._lines: dict[str, list[bytes]] = defaultdict(list)
        self._times: dict[str, list[datetime]] = defaultdict(list)
        self._ended: set[str] = set()
        self._breaks_after: list[int] = []
        self._now = _EPOCH
        self._open = 0
        self._changed = threading.Condition()
        self._is_stopped = False

    def write(self, pod: str, *texts: str, step: timedelta = timedelta(milliseconds=1), end: str = "\n") -> None:
        """The pod's program prints lines, one after the other."""
        with self._changed:
            for text in texts:
                self._now += step
                self._times[pod].append(self._now.replace(microsecond=0))
                self._lines[pod].append(f"{self._now:%Y-%m-%dT%H:%M:%S.%f}000Z {text}{end}".encode())
            self._changed.notify_all()

    def set_clock(self, moment: datetime) -> None:
        """Later lines are written from this time on."""
        with self._changed:
            self._now = moment

    def end(self, pod: str) -> None:
        """The pod's program has ended: who follows its log gets the rest and no more."""
        with self._changed:
            self._ended.add(pod)
            self._changed.notify_all()

    def break_after(self, *byte_counts: int) -> None:
        """Each of the next answers breaks after so many bytes, wherever that is."""
        with self._changed:
            self._breaks_after += byte_counts

    @contextmanager
    def running(self) -> Iterator[Kubelet]:
        """A node of the API server for as long as the block lasts."""
        certificate = self._plane.authority.server(f"kubelet-{self.node}", "127.0.0.1")
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            with registered(self._plane, self.node, server.server_address[1]):
                yield self
        finally:
            with self._changed:
                self._is_stopped = True
                self._changed.notify_all()
            server.shutdown()
            serving.join()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                with kubelet._changed:
                    kubelet.requests.append(url.query)
                    kubelet._open += 1
                    kubelet.most_at_once = max(kubelet.most_at_once, kubelet._open)
                    breaks_after = kubelet._breaks_after.pop(0) if kubelet._breaks_after else None
                try:
                    kubelet._answer(self, url.path.split("/")[3], parse_qs(url.query), breaks_after)
                except OSError:
                    self.close_connection = True  # the reader has left
                finally:
                    with kubelet._changed:
                        kubelet._open -= 1

            def log_message(self, *_: object) -> None:
                """A test's output is for the test."""

        return Handler

    def _answer(
        self, handler: BaseHTTPRequestHandler, pod: str, query: dict[str, list[str]], breaks_after: int | None
    ) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/plain")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        left = breaks_after
        for line in self._wanted(pod, query):
            piece = line if left is None else line[:left]
            if piece:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    handler.close_connection = True
                    return  # without the last chunk
        handler.wfile.write(b"0\r\n\r\n")

    def _wanted(self, pod: str, query: dict[str, list[str]]) -> Iterator[bytes]:
        follow = query.get("follow") == ["true"]
        with self._changed:
            first = 0
            if "sinceTime" in query:
                since = datetime.fromisoformat(query["sinceTime"][0])
                first = next((at for at, time in enumerate(self._times[pod]) if time >= since), len(self._times[pod]))
            if "tailLines" in query:
                first = max(first, len(self._lines[pod]) - int(query["tailLines"][0]))
        at = first
        while True:
            with self._changed:
                ready = self._lines[pod][at:]
                if not ready:
                    if not follow or pod in self._ended or self._is_stopped:
                        return
                    self._changed.wait(5.0)
                    continue
            for line in ready:
                at += 1
                yield line


@contextmanager
def registered(plane: ControlPlane, name: str, port: int) -> Iterator[None]:
    """A node whose kubelet the API server looks for at this port."""
    connection, nodes = connect(str(plane.kubeconfig)), "/api/v1/nodes"
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    connection.send("POST", nodes, {"metadata": {"name": name}}, "application/json")
    connection.send("PATCH", f"{nodes}/{name}/status", {"status": status}, "application/merge-patch+json")
    try:
        yield
    finally:
        connection.send("DELETE", f"{nodes}/{name}", {}, "application/json")
