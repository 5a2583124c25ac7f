"""An OTLP receiver over HTTP: takes what an exporter sends, and answers as it is told to.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from support.eventually import eventually

Plain = str | int | float | bool | list[str]


@dataclass(frozen=True)
class Span:
    """A span as it was received."""

    name: str
    identity: bytes
    parent: bytes
    """Empty for the first of its trace."""
    trace: bytes
    begin: int
    """Nanoseconds since 1970, as is the end."""
    end: int
    is_error: bool
    attributes: dict[str, Plain]
    resource: dict[str, Plain]
    exceptions: tuple[str, ...]
    """Types of those that were recorded."""


@dataclass
class Receiver:
    """What was received so far, and how requests are answered."""

    url: str = ""
    status: int = 200
    answers: threading.Event = field(default_factory=threading.Event)
    """Until it is set, requests are taken and not answered."""
    asked: int = 0
    """Requests so far, answered or not."""
    spans: list[Span] = field(default_factory=list)

    def named(self, *names: str) -> list[Span]:
        return [span for span in list(self.spans) if span.name in names]

    def children(self, parent: Span) -> list[Span]:
        """In the order of their beginnings."""
        found = [span for span in list(self.spans) if span.parent == parent.identity and span.trace == parent.trace]
        return sorted(found, key=lambda span: (span.begin, span.end))

    def first(self, name: str, within_seconds: float = 30) -> Span:
        """A span of this name, as soon as there is one."""
        return eventually(lambda: self.named(name), bool, within_seconds)[0]

    def take(self, content: bytes) -> None:
        for each in ExportTraceServiceRequest.FromString(content).resource_spans:
            resource = {pair.key: _plain(pair.value) for pair in each.resource.attributes}
            self.spans += [_read(sent, resource) for scope in each.scope_spans for sent in scope.spans]


@contextlib.contextmanager
def receiving(answers: bool = True) -> Iterator[Receiver]:
    """A receiver at a free port. Requests that were not answered are given up at its end."""
    receiver = Receiver()
    if answers:
        receiver.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.asked += 1
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            content = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.answers.wait()
            if receiver.status == 200:
                receiver.take(gzip.decompress(content) if self.headers["Content-Encoding"] == "gzip" else content)
            with contextlib.suppress(OSError):  # who asked may be gone
                self.send_response(receiver.status)
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.answers.set()
            server.shutdown()
            thread.join()


def _read(sent: Sent, resource: dict[str, Plain]) -> Span:
    exceptions = [pair.value.string_value for event in sent.events for pair in event.attributes
                  if event.name == "exception" and pair.key == "exception.type"]  # fmt: skip
    return Span(
        name=sent.name,
        identity=sent.span_id,
        parent=sent.parent_span_id,
        trace=sent.trace_id,
        begin=sent.start_time_unix_nano,
        end=sent.end_time_unix_nano,
        is_error=sent.status.code == Status.STATUS_CODE_ERROR,
        attributes={pair.key: _plain(pair.value) for pair in sent.attributes},
        resource=resource,
        exceptions=tuple(exceptions),
    )


def _plain(value: AnyValue) -> Plain:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [each.string_value for each in value.array_value.values]
    found: Plain = getattr(value, str(kind))
    return found
