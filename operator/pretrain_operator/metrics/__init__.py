"""The operator's figures for Prometheus: what is declared, measured, and read from the jobs' statuses."""

import contextlib
import time
from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest

from pretrain_api import recoveries
from pretrain_api.metrics import OTHER, bounded, counter, gauge, histogram
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain.recoveries import phases
from pretrain_operator.metrics import declared
from pretrain_operator.metrics.jobs import JobFigures

__all__ = ["JobFigures", "Metrics"]

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

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry) + self.jobs.text().encode()

    def answered(self, verb: str, code: int) -> None:
        """One request was answered; code 0: it was not."""
        shown = code if code in _OWN_CODES else code // 100 * 100
        self._requests.labels(verb, str(shown)).inc()

    def happened(self, before: PretrainJobStatus, after: PretrainJobStatus) -> None:
        """Count what led from one recorded status of a job to the next."""
        failed = after.recovery.last_failure
        if failed and after.recovery.failures > before.recovery.failures:
            self._failures.labels(bounded(failed.kind, declared.FAILURES)).inc()
        last = after.recovery.last_recovery
        if last and last != before.recovery.last_recovery:
            self._recoveries.labels(last.kind).observe(float(last.seconds or 0))
            for name, seconds in phases(last):
                self._phases.labels(last.kind, name).observe(seconds)

    @contextlib.contextmanager
    def reconciling(self) -> Iterator[None]:
        """Measure one reconcile."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self._reconciles.observe(time.monotonic() - begin)
