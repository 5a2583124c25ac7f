"""Figures of jobs, read from their recorded status when somebody asks. How they are written is in `exposition`."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prometheus_client.registry import Collector

from pretrain_api.goodput import Account
from pretrain_api.metrics import Metric
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain import goodput, lifecycle, stages
from pretrain_operator.metrics import declared, exposition
from pretrain_operator.metrics.exposition import Family, Key

_COUNTED_DOWN = timedelta(minutes=1)
"""How long after a training spoke its time left still falls with the clock."""

Sample = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels behind those of the job, and its value."""


@dataclass(frozen=True)
class _Job:
    """A job as it was last shown."""

    key: Key
    status: PretrainJobStatus
    spec: PretrainJobSpec | None
    steady: Mapping[str, str]
    """Lines of what stays while the status does, which is most of it, by metric. Written when the job is shown, a fifth of
    a millisecond each time: a scrape would have to write those of all jobs at once."""

    def aging(self, now: datetime) -> Mapping[str, str]:
        """Lines of the rest."""
        return _lines(self.key, aging(self.status, now))


class JobFigures(Collector):
    """One set of series per job. Finished jobs keep their info and state alone; deleted ones keep nothing."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._jobs: dict[Key, _Job] = {}
        self._now = now

    def show(self, key: Key, status: PretrainJobStatus, spec: PretrainJobSpec | None = None) -> None:
        """The job's newest recorded status."""
        known = self._jobs.get(key)
        if known is None or known.status is not status or known.spec is not spec:
            self._jobs[key] = _Job(key, status, spec, _lines(key, steady(status, spec)))

    def forget(self, key: Key) -> None:
        """The job is gone."""
        self._jobs.pop(key, None)

    def collect(self) -> Iterator[Family]:
        """For a registry. Of many jobs `text` says the same in a fraction of the time."""
        families = {metric: exposition.family(metric) for metric in (declared.JOBS, *declared.OF_JOBS)}
        jobs, now = self._shown(), self._now()
        families[declared.JOBS].add_metric((), len(jobs))
        for job in jobs:
            for metric, labels, value in itertools.chain(steady(job.status, job.spec), aging(job.status, now)):
                families[metric].add_metric((*job.key, *labels), value)
        yield from families.values()

    def text(self, is_open: bool = False) -> str:
        """The same as Prometheus reads it. `is_open`: in the format OpenMetrics, without its last line."""
        jobs, now = self._shown(), self._now()
        lines: dict[str, list[str]] = {metric.name: [exposition.head(metric, is_open)] for metric in declared.OF_JOBS}
        for job in jobs:
            for found in (job.steady, job.aging(now)):
                for name, text in found.items():
                    lines[name].append(text)
        count = exposition.head(declared.JOBS, is_open), f"{declared.JOBS.name} {float(len(jobs))}\n"
        return "".join(itertools.chain(count, *lines.values()))

    def _shown(self) -> list[_Job]:
        return list(self._jobs.values())  # the event loop may change it while a thread is asked


def _lines(key: Key, found: Iterable[Sample]) -> Mapping[str, str]:
    lines: dict[str, str] = {}
    # A status that somebody wrote by hand may hold what is no number: of that job less is told, of the others everything.
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        for metric, labels, value in found:
            lines[metric.name] = lines.get(metric.name, "") + exposition.line(metric, key, labels, value)
    return lines


def steady(status: PretrainJobStatus, spec: PretrainJobSpec | None) -> Iterator[Sample]:
    """What there is to say of one job as long as its status stays."""
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
    yield from _funnel(status)
    yield from _progress(status)
    recovery = status.recovery
    yield declared.FAILURES_TOTAL, (), recovery.failures
    yield declared.DISRUPTIONS, (), recovery.disruptions
    yield declared.RESTARTS, (), recovery.restarts
    yield declared.WINDOW, (), len(recovery.recent_failures)
    if spec:
        yield declared.BUDGET, (), spec.recovery.max_failures
        yield declared.CHECKPOINT_INTERVAL, (), spec.checkpoint.every_seconds
    if not goodput.is_open(status):
        yield from _time(goodput.account(status))
    if last := recovery.last_recovery:
        yield declared.LAST_RECOVERY, (last.kind,), float(last.seconds or 0)
        yield declared.LAST_LOST, (last.kind,), last.lost_steps


def aging(status: PretrainJobStatus, now: datetime) -> Iterator[Sample]:
    """What there is to say of it and changes with the clock."""
    if status.state in lifecycle.TERMINAL:
        return
    progress = status.progress
    since = status.checkpoint.time if status.checkpoint else stages.entry(status, Stage.TRAIN).start_time
    if since:
        yield declared.CHECKPOINT_AGE, (), (now - since).total_seconds()
    if goodput.is_open(status):
        yield from _time(goodput.account_at(status, now))
    if status.state == "Training" and progress.update_time:
        yield declared.PROGRESS_AGE, (), (now - progress.update_time).total_seconds()
        if end := progress.estimated_completion_time:
            # A training that says nothing more does not come nearer to its end.
            told = min(now, progress.update_time + _COUNTED_DOWN)
            yield declared.TIME_LEFT, (), max(0.0, (end - told).total_seconds())
            yield declared.TIME_LEFT_ERROR, (), progress.completion_error_seconds


def _funnel(status: PretrainJobStatus) -> Iterator[Sample]:
    """What became of the documents, by the stages that leave some out."""
    for stage in (Stage.COLLECT, Stage.PREPARE):
        done = stages.entry(status, stage)
        for metric, read, kept in (
            (declared.DOCUMENTS, done.documents_in, done.documents_out),
            (declared.TEXT_BYTES, done.bytes_in, done.bytes_out),
        ):
            if read:
                yield metric, (stage.value, "read"), read
                yield metric, (stage.value, "kept"), kept


def _progress(status: PretrainJobStatus) -> Iterator[Sample]:
    progress = status.progress
    yield declared.STEP, (), progress.step
    if progress.total_steps:
        yield declared.STEPS, (), progress.total_steps
    if status.state != "Training" or progress.update_time is None:
        return
    yield declared.TOKENS_PER_SECOND, (), progress.tokens_per_second or 0
    texts: Mapping[Metric, str] = {
        declared.LOSS: progress.loss,
        declared.MFU: progress.mfu_ratio,
        declared.DATA_WAIT: progress.data_wait_ratio,
    }
    yield from ((metric, (), float(text)) for metric, text in texts.items() if text)


def _time(account: Account | None) -> Iterator[Sample]:
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
