"""Spans by OpenTelemetry's SDK, sent as OTLP over HTTP from a thread of its own. What is told is decided elsewhere.

The batch processor never makes who ends a span wait: when the receiver is slow or gone, its queue fills and spans are dropped.
"""

import socket
import threading
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from pretrain_api.cluster import MANAGER
from pretrain_api.errors import UserError
from pretrain_operator.brain.recoveries import Recovered
from pretrain_operator.tracing.spans import NOTHING, Key, Span, Traces

_CLOSING_SECONDS = 2.0
"""How long the end of the process may wait for a receiver: what stays unsent is lost."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def started() -> Traces:
    """Traces to where the environment says. Raises UserError for what OpenTelemetry does not accept in it."""
    try:
        return _Otlp()
    except ValueError as error:
        raise UserError(
            "bad-traces-setting",
            "OTEL_...",
            f"OpenTelemetry does not accept its settings ({error}).",
            "Correct the variable, or remove OTEL_EXPORTER_OTLP_ENDPOINT for no traces.",
        ) from None


class _Otlp:
    def __init__(self) -> None:
        # At its exit the provider would wait half a minute for a receiver that is gone; `close` does not.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("pretrain_operator", version("pretrain-operator"))

    def reconcile(self, key: Key, uid: str) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span("reconcile", attributes=_of_job(key, uid))

    def at_work(self) -> str:
        return _identity(trace.get_current_span())

    def request(self, method: str, path: str) -> AbstractContextManager[Span]:
        if not trace.get_current_span().is_recording():
            return NOTHING
        template = _template(path)
        return self._tracer.start_as_current_span(
            f"{method} {template}",
            kind=trace.SpanKind.CLIENT,
            attributes={"http.request.method": method, "url.path": path, "url.template": template},
        )

    def recovered(self, key: Key, uid: str, recovery: Recovered) -> str:
        begin = _nanoseconds(recovery.began)
        end = begin + round(recovery.seconds * 1e9)
        attributes = {**_of_job(key, uid), **{f"pretrain.recovery.{n}": v for n, v in recovery.described.items()}}
        whole = self._tracer.start_span("recovery", trace.set_span_in_context(trace.INVALID_SPAN), start_time=begin,
                                        attributes=attributes)  # fmt: skip
        rung = self._tracer.start_span(recovery.rung, trace.set_span_in_context(whole), start_time=begin)
        at, within = begin, trace.set_span_in_context(rung)
        for name, seconds in recovery.phases:
            phase = self._tracer.start_span(name, within, start_time=at)
            at += round(seconds * 1e9)
            phase.end(at)
        rung.end(end)
        whole.end(end)
        return _identity(whole)

    def close(self) -> None:
        # The SDK's own shutdown waits for a request that is under way, which may take as long as its limit.
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(_CLOSING_SECONDS)


def _resource() -> Resource:
    """Who we are; the environment may say something else."""
    own = {"service.name": MANAGER, "service.version": version("pretrain-operator"),
           "service.instance.id": socket.gethostname()}  # fmt: skip
    return Resource.create(own).merge(OTELResourceDetector().detect())


def _identity(span: trace.Span) -> str:
    context = span.get_span_context()
    # One that a sampler left out is found nowhere.
    return trace.format_trace_id(context.trace_id) if context.trace_flags.sampled else ""


def _of_job(key: Key, uid: str) -> dict[str, str]:
    namespace, name = key
    return {"k8s.namespace.name": namespace, "pretrain.job.name": name, "pretrain.job.uid": uid}


def _template(path: str) -> str:
    """A path of the API without names, so that spans of the same kind have the same name."""
    parts = path.split("/")
    place = 3 if parts[1] == "api" else 4
    if parts[place] == "namespaces" and len(parts) > place + 2:
        parts[place + 1] = "{namespace}"
        place += 2
    if len(parts) > place + 1:
        parts[place + 1] = "{name}"
    return "/".join(parts)


def _nanoseconds(time: datetime) -> int:
    """Since 1970."""
    return (time - _EPOCH) // _MICROSECOND * 1000
