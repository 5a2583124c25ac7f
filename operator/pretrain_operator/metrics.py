"""The operator's figures for Prometheus. Those of a job are read from its recorded status when somebody asks."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import lifecycle

_JOB = ("namespace", "job")
_OWN_CODES = frozenset((0, 200, 201, 403, 404, 409, 410, 422, 429, 500, 503, 504))

Key = tuple[str, str]
Family = GaugeMetricFamily | CounterMetricFamily


class JobFigures(Collector):
    """One set of series per job. Finished jobs keep their state alone; deleted ones keep nothing."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._jobs: dict[Key, PretrainJobStatus] = {}
        self._now = now

    def show(self, key: Key, status: PretrainJobStatus) -> None:
        """The job's newest recorded status."""
        self._jobs[key] = status

    def forget(self, key: Key) -> None:
        """The job is gone."""
        self._jobs.pop(key, None)

    def collect(self) -> Iterator[Family]:
        known = GaugeMetricFamily("pretrain_operator_jobs", "PretrainJobs that are known.", value=len(self._jobs))
        info = _gauge("pretrain_job_info", "A job and the stage at work, always 1.", "stage")
        state = _gauge("pretrain_job_state", "1 for the job's state.", "state")
        workers = _gauge("pretrain_job_workers", "Training workers by phase.", "phase")
        generation = _gauge("pretrain_job_generation", "Number of the newest roster.")
        step = _gauge("pretrain_job_step", "Optimizer steps done.")
        age = _gauge("pretrain_job_checkpoint_age_seconds", "Age of the newest checkpoint.")
        failures = CounterMetricFamily("pretrain_job_failures", "Failures since the job began.", labels=_JOB)
        disruptions = CounterMetricFamily("pretrain_job_disruptions", "Disruptions since the job began.", labels=_JOB)
        restarts = CounterMetricFamily(
            "pretrain_job_restarts",
            "How often ranks began again within a start: in place, or in another roster.",
            labels=_JOB,
        )
        recovery = _gauge("pretrain_job_last_recovery_seconds", "Of the newest recovery, to the next step.", "kind")
        again = _gauge("pretrain_job_last_recovery_lost_steps", "Steps that it made anew.", "kind")
        phases = _gauge("pretrain_job_last_recovery_phase_seconds", "Of its phases.", "phase")
        now = self._now()
        for key, status in self._jobs.items():
            info.add_metric([*key, status.stage], 1)
            state.add_metric([*key, status.state], 1)
            if status.state in lifecycle.TERMINAL:
                continue
            workers.add_metric([*key, "ready"], status.world.ready)
            workers.add_metric([*key, "missing"], status.world.workers - status.world.ready)
            generation.add_metric(key, status.world.generation)
            step.add_metric(key, status.progress.step)
            failures.add_metric(key, status.recovery.failures)
            disruptions.add_metric(key, status.recovery.disruptions)
            restarts.add_metric(key, status.recovery.restarts)
            if last := status.recovery.last_recovery:
                recovery.add_metric([*key, last.kind], float(last.seconds or 0))
                again.add_metric([*key, last.kind], last.lost_steps)
                for name, seconds in _phases(last.phases):
                    phases.add_metric([*key, name], seconds)
            if status.checkpoint and status.checkpoint.time:
                age.add_metric(key, (now - status.checkpoint.time).total_seconds())
        yield from (known, info, state, workers, generation, step, age, failures, disruptions, restarts)
        yield from (recovery, again, phases)


class Metrics:
    """Every metric of this process, in a registry of its own."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.jobs = JobFigures()
        own.register(self.jobs)
        self.queue = Gauge("pretrain_operator_request_queue_depth", "Requests that wait for their turn.", registry=own)
        self.silence = Gauge(
            "pretrain_operator_watch_silence_seconds", "Since the quietest watch brought something.", registry=own
        )
        self.leading = Gauge("pretrain_operator_leading", "1 while this process leads.", registry=own)
        self.errors = Counter("pretrain_operator_errors_total", "Defects met in a reconcile.", registry=own)
        self._reconciles = Histogram("pretrain_operator_reconcile_seconds", "Time of one reconcile.", registry=own)
        self._requests = Counter(
            "pretrain_operator_api_requests_total", "Requests by verb and code.", ("verb", "code"), registry=own
        )

    def answered(self, verb: str, code: int) -> None:
        """One request was answered; code 0: it was not."""
        shown = code if code in _OWN_CODES else code // 100 * 100
        self._requests.labels(verb, str(shown)).inc()

    @contextlib.contextmanager
    def reconciling(self) -> Iterator[None]:
        """Measure one reconcile."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self._reconciles.observe(time.monotonic() - begin)


def _phases(text: str) -> Iterator[tuple[str, float]]:
    """`stop 0.100, start 0.200` by name."""
    for part in filter(None, text.split(", ")):
        name, seconds = part.split(" ")
        yield name, float(seconds)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=(*_JOB, *labels))
