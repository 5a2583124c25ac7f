"""The operator's figures for Prometheus: what is declared, measured, and read from the jobs' statuses."""

import re
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from pretrain_api import recoveries
from pretrain_api.metrics import OTHER, bounded, counter, gauge, histogram
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain.recoveries import RESTORE, RESTORE_PHASES, phases
from pretrain_operator.metrics import declared, exposition
from pretrain_operator.metrics.exposition import Key
from pretrain_operator.metrics.jobs import JobFigures

__all__ = ["JobFigures", "Metrics", "exemplar"]

Exemplar = dict[str, str]
"""Labels that name one of the events that a histogram counts."""
_EXEMPLAR_CHARACTERS = 128
"""Of names and values together, https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars"""
_OWN_CODES = frozenset((0, 200, 201, 403, 404, 409, 410, 422, 429, 500, 503, 504))


class Metrics:
    """Every metric of this process. Those of jobs stand apart: they are many, and written in another way."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.jobs = JobFigures()
        self.queue = gauge(declared.QUEUE, own)
        self.silence = gauge(declared.SILENCE, own)
        self.leading = gauge(declared.LEADING, own)
        self.errors = counter(declared.ERRORS, own)
        self._reconciles = histogram(declared.RECONCILE, own)
        self._requests = counter(declared.REQUESTS, own)
        self._failures = counter(declared.FAILED, own)
        self._recoveries = histogram(declared.RECOVERY, own)
        self._phases = histogram(declared.RECOVERY_PHASE, own)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """What is rare has its series before it happens: Prometheus sees a rise only where it saw what was before."""
        for kind in (*declared.FAILURES, OTHER):
            self._failures.labels(kind)
        for rung in get_args(recoveries.Kind):
            self._recoveries.labels(rung)
            for phase in recoveries.PHASES:
                self._phases.labels(rung, phase)
        self._recoveries.labels(RESTORE)
        for phase in RESTORE_PHASES:
            self._phases.labels(RESTORE, phase)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Everything, as OpenMetrics where the header Accept of a scraper names it, and the type of the format.

        Only OpenMetrics has the exemplars, https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars
        """
        if not _is_open(accept):
            return generate_latest(self.registry) + self.jobs.text().encode(), CONTENT_TYPE_LATEST
        end = exposition.EOF.encode()
        own: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call] # it has no annotations
        own = own.removesuffix(end)
        return own + self.jobs.text(is_open=True).encode() + end, openmetrics.CONTENT_TYPE_LATEST

    def answered(self, verb: str, code: int) -> None:
        """One request was answered; code 0: it was not."""
        shown = code if code in _OWN_CODES else code // 100 * 100
        self._requests.labels(verb, str(shown)).inc()

    def happened(self, before: PretrainJobStatus, after: PretrainJobStatus, exemplar: Exemplar | None = None) -> None:
        """Count what led from one recorded status of a job to the next."""
        failed = after.recovery.last_failure
        if failed and after.recovery.failures > before.recovery.failures:
            self._failures.labels(bounded(failed.kind, declared.FAILURES)).inc()
        last = after.recovery.last_recovery
        if last and last != before.recovery.last_recovery:
            self._recoveries.labels(last.kind).observe(float(last.seconds or 0), exemplar)
            for name, seconds in phases(last):
                self._phases.labels(last.kind, name).observe(seconds, exemplar)

    def reconciled(self, seconds: float, exemplar: Exemplar | None = None) -> None:
        """Measure one reconcile."""
        self._reconciles.observe(seconds, exemplar)


def _is_open(accept: str) -> bool:
    """Whether a header Accept (RFC 9110) names OpenMetrics, and does not refuse it.

    The library's own choice fails for versions that are no numbers, heeds no `q=0`, and may ask for names with escapes, of
    which the lines of jobs know nothing.
    """
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind == "application/openmetrics-text":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


def exemplar(job: Key, trace_id: str) -> Exemplar:
    """Whose figure it was, and in which trace ("" for none): as much of it as OpenMetrics allows."""
    namespace, name = job
    labels: Exemplar = {"trace_id": trace_id} if trace_id else {}
    for label, value in (("pretrainjob", name), ("namespace", namespace)):
        if len("".join([*labels, *labels.values(), label, value])) <= _EXEMPLAR_CHARACTERS:
            labels[label] = value
    return labels
