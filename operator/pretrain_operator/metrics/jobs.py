"""Figures of jobs, read from their recorded status when somebody asks. Nothing is kept between two questions."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from pretrain_api.metrics import Metric
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain import goodput, lifecycle
from pretrain_operator.metrics import declared

Key = tuple[str, str]
"""Namespace and name."""
Family = GaugeMetricFamily | CounterMetricFamily
Sample = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels behind those of the job, and its value."""


class JobFigures(Collector):
    """One set of series per job. Finished jobs keep their info and state alone; deleted ones keep nothing."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._jobs: dict[Key, tuple[PretrainJobStatus, PretrainJobSpec | None]] = {}
        self._now = now

    def show(self, key: Key, status: PretrainJobStatus, spec: PretrainJobSpec | None = None) -> None:
        """The job's newest recorded status."""
        self._jobs[key] = status, spec

    def forget(self, key: Key) -> None:
        """The job is gone."""
        self._jobs.pop(key, None)

    def collect(self) -> Iterator[Family]:
        families = {metric: _family(metric) for metric in (declared.JOBS, *declared.OF_JOBS)}
        jobs = list(self._jobs.items())  # the event loop may change it while a thread is asked
        families[declared.JOBS].add_metric((), len(jobs))
        now = self._now()
        for key, (status, spec) in jobs:
            for metric, labels, value in samples(status, spec, now):
                families[metric].add_metric((*key, *labels), value)
        yield from families.values()


def samples(status: PretrainJobStatus, spec: PretrainJobSpec | None, now: datetime) -> Iterator[Sample]:
    """What there is to say of one job."""
    yield declared.INFO, (status.stage,), 1
    yield declared.STATE, (status.state,), 1
    if status.state in lifecycle.TERMINAL:
        return
    for condition in status.conditions:
        if condition.status == "True":
            yield declared.CONDITION, (condition.type,), 1
    yield declared.WORKERS, ("ready",), status.world.ready
    yield declared.WORKERS, ("missing",), status.world.workers - status.world.ready
    yield declared.GENERATION, (), status.world.generation
    yield from _progress(status, now)
    if status.checkpoint and status.checkpoint.time:
        yield declared.CHECKPOINT_AGE, (), (now - status.checkpoint.time).total_seconds()
    recovery = status.recovery
    yield declared.FAILURES_TOTAL, (), recovery.failures
    yield declared.DISRUPTIONS, (), recovery.disruptions
    yield declared.RESTARTS, (), recovery.restarts
    yield declared.WINDOW, (), len(recovery.recent_failures)
    if spec:
        yield declared.BUDGET, (), spec.recovery.max_failures
        yield declared.CHECKPOINT_INTERVAL, (), spec.checkpoint.every_seconds
    yield from _time(status, now)
    if last := recovery.last_recovery:
        yield declared.LAST_RECOVERY, (last.kind,), float(last.seconds or 0)
        yield declared.LAST_LOST, (last.kind,), last.lost_steps


def _progress(status: PretrainJobStatus, now: datetime) -> Iterator[Sample]:
    progress = status.progress
    yield declared.STEP, (), progress.step
    if progress.total_steps:
        yield declared.STEPS, (), progress.total_steps
    if status.state != "Training" or progress.update_time is None:
        return
    yield declared.PROGRESS_AGE, (), (now - progress.update_time).total_seconds()
    yield declared.TOKENS_PER_SECOND, (), progress.tokens_per_second or 0
    texts: Mapping[Metric, str] = {
        declared.LOSS: progress.loss,
        declared.MFU: progress.mfu_ratio,
        declared.DATA_WAIT: progress.data_wait_ratio,
    }
    yield from ((metric, (), float(text)) for metric, text in texts.items() if text)
    if end := progress.estimated_completion_time:
        yield declared.TIME_LEFT, (), max(0.0, (end - now).total_seconds())


def _time(status: PretrainJobStatus, now: datetime) -> Iterator[Sample]:
    account = goodput.account_at(status, now)
    if account is None:
        return
    by_activity: dict[str, int] = {}
    for item, amount in account.spent.items():
        by_activity[item.activity] = by_activity.get(item.activity, 0) + amount
        if item.rung:
            yield declared.RECOVERING, (item.rung, item.phase), amount / 1000
    yield from ((declared.TIME, (activity,), amount / 1000) for activity, amount in by_activity.items())
    if account.stood is not None and account.ratio is not None:
        yield declared.GOODPUT, (), account.ratio


def _family(metric: Metric) -> Family:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name.removesuffix("_total"), metric.text, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
