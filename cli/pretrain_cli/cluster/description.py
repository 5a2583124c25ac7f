"""Everything about a job in a cluster as text, for `pretrain describe`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pretrain_api import objectives
from pretrain_api.nouns import counted
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Failure, StageStatus
from pretrain_cli.cluster import timeline
from pretrain_cli.cluster.pods import JobPod
from pretrain_cli.cluster.table import age, aligned, moment
from pretrain_cli.cluster.timeline import Event
from pretrain_cli.display import recovery as words
from pretrain_cli.display import story
from pretrain_cli.display.wording import amount, duration, give_or_take, trained

Json = Mapping[str, Any]
_LAST_LINES = 15
_MOST_PODS = 40


def lines(
    job: Json,
    status: PretrainJobStatus,
    pods: Sequence[JobPod],
    events: Iterable[Event],
    notes: Sequence[str],
    now: datetime,
) -> Iterator[str]:
    """The description, line by line. `notes`: what could not be read."""
    metadata = job["metadata"]
    yield f"{metadata['name']}: {status.state}"
    yield from _facts(job, status, now)
    yield from _stages(status, now)
    yield from _conditions(status, now)
    yield from _training(status, now)
    yield from _failures(status, now)
    yield from _pods(pods, now)
    yield from timeline.lines(status, events, now)
    if notes:
        yield ""
        yield from notes


def _facts(job: Json, status: PretrainJobStatus, now: datetime) -> Iterator[str]:
    metadata, spec = job["metadata"], job["spec"]
    yield f"namespace   {metadata['namespace']}"
    created = moment(metadata.get("creationTimestamp"))
    if created:
        yield f"created     {_time(created)}, {age(created, now)} ago"
    if metadata.get("deletionTimestamp"):
        yield "deletion    was asked for; its workers are being stopped"
    if labels := metadata.get("labels"):
        yield f"labels      {', '.join(f'{key}={value}' for key, value in labels.items())}"
    yield f"storage     {spec['storage']['uri']}"
    yield f"sources     {_sources(spec['data']['sources'])}"
    yield f"model       {_model(spec)}"
    yield f"training    {_length(spec)}"
    yield f"workers     {_workers(spec.get('workers', {}))}"
    if spec.get("suspend"):
        yield f"suspend     true: `pretrain resume {metadata['name']}` goes on"
    if status.start_time:
        seconds = ((status.completion_time or now) - status.start_time).total_seconds()
        since = f"ended after {duration(seconds)}" if status.completion_time else f"{duration(seconds)} ago"
        yield f"started     {_time(status.start_time)}, {since}"
    if status.observed_generation == 0:
        yield "operator    has not looked at this job yet: is pretrain-operator installed and does it watch this namespace?"
    elif status.observed_generation < metadata.get("generation", 0):
        yield "operator    has not seen the newest change of the spec yet"


def _sources(sources: Sequence[Json]) -> str:
    shown = [f"{s['name']} ({s.get('documents') or s.get('shards')})" for s in sources[:4]]
    return ", ".join(shown) + (f" and {len(sources) - 4} more" if len(sources) > 4 else "")


def _model(spec: Json) -> str:
    model = spec["model"]
    name = model.get("preset") or (model.get("config") or {}).get("model_type", "config")
    return f"{name}, {next(iter(spec['objective']), '')}"


def _length(spec: Json) -> str:
    training = spec["training"]
    unit = next((unit for unit in ("tokens", "samples", "steps") if training.get(unit)), "")
    whole, size = amount(training[unit], unit) if unit else "", training.get("globalBatchSize")
    if objectives.inputs(next(iter(spec["objective"]), "")) != "text":
        return f"{whole}, batches of {counted(size, 'image')}"
    return f"{whole}, batches of {size} x {training.get('sequenceLength')} tokens"


def _workers(workers: Json) -> str:
    least, most = workers.get("min", 1), workers.get("max", 1)
    count = f"{least}" if least == most else f"{least} to {most}"
    limits = (workers.get("resources") or {}).get("limits") or {}
    each = ", ".join(f"{name} {value}" for name, value in limits.items())
    processes = counted(workers.get("processesPerWorker", 1), "process", "processes")
    return f"{count} x {processes}" + (f", each {each}" if each else "")


def _stages(status: PretrainJobStatus, now: datetime) -> Iterator[str]:
    if not status.stages:
        return
    yield "\nStages"
    rows = [
        [stage.name, stage.state, _span(stage, now), f"{stage.attempts}x" if stage.attempts > 1 else ""]
        for stage in status.stages
    ]
    for line, stage in zip(aligned(rows), status.stages, strict=True):
        message = stage.message.splitlines()[0] if stage.message else ""
        yield f"  {line}" + (f"   {message}" if message else "")


def _span(stage: StageStatus, now: datetime) -> str:
    if stage.start_time is None:
        return ""
    if stage.completion_time:
        return f"{stage.start_time:%m-%d %H:%M:%S}, {duration(story.seconds(stage))}"
    return f"{stage.start_time:%m-%d %H:%M:%S}, for {age(stage.start_time, now)}"


def _conditions(status: PretrainJobStatus, now: datetime) -> Iterator[str]:
    if not status.conditions:
        return
    yield "\nConditions"
    rows = [
        [c.type, c.status, age(c.last_transition_time, now) if c.last_transition_time else "", c.reason]
        for c in status.conditions
    ]
    for line, condition in zip(aligned(rows), status.conditions, strict=True):
        yield f"  {line}"
        if condition.message:
            yield from (f"    {part}" for part in condition.message.splitlines()[:_LAST_LINES])


def _training(status: PretrainJobStatus, now: datetime) -> Iterator[str]:
    progress, world = status.progress, status.world
    if not (progress.update_time or world.generation or status.checkpoint):
        return
    yield "\nTraining"
    if world.generation:
        yield f"  world       generation {world.generation}, {world.ready} of {counted(world.workers, 'worker')} ready"
    if progress.update_time:
        figures = [f"step {progress.step}/{progress.total_steps}", f"loss {progress.loss or '-'}"]
        figures += trained(progress)
        figures += [f"MFU {progress.mfu_ratio}"] if progress.mfu_ratio else []
        figures += [f"data wait {progress.data_wait_ratio}"] if progress.data_wait_ratio else []
        yield f"  progress    {', '.join(figures)}; {age(progress.update_time, now)} ago"
        if progress.estimated_completion_time and status.state == "Training":
            within = give_or_take(0, progress.completion_error_seconds)
            yield f"  ends about  {_time(progress.estimated_completion_time)}{within}"
    if status.checkpoint:
        when = f", {age(status.checkpoint.time, now)} ago" if status.checkpoint.time else ""
        yield f"  checkpoint  step {status.checkpoint.step}{when}: {status.checkpoint.uri}"
    if status.goodput_ratio:
        yield f"  goodput     {status.goodput_ratio}"


def _failures(status: PretrainJobStatus, now: datetime) -> Iterator[str]:
    recovery = status.recovery
    tally = words.tally(recovery, with_window=True)
    if not tally:
        return
    yield "\nRecovery"
    yield f"  {tally}"
    if record := recovery.last_recovery:
        since = f" {age(record.time, now)} ago" if record.time else ""
        yield f"  last {words.titled(record)}{since}: worker {record.worker}, {words.described(record)}"
    first, last = recovery.first_failure, recovery.last_failure
    if first:
        yield from _failure("first failure of this streak" if first != last else "last failure", first, now)
    if last and last != first:
        yield from _failure("last failure", last, now)


def _failure(title: str, failure: Failure, now: datetime) -> Iterator[str]:
    where = [f"worker {failure.worker}" if failure.worker else "", f"on node {failure.node}" if failure.node else ""]
    where.append(f"rank {failure.rank}" if failure.rank >= 0 else "")
    place = ", ".join(part for part in (" ".join(where[:2]).strip(), where[2]) if part)
    since = f" {age(failure.time, now)} ago" if failure.time else ""
    yield f"  {title}{since}: {failure.stage}, {failure.kind}" + (f"; {place}" if place else "")
    yield from (f"    {line}" for line in failure.message.splitlines()[-_LAST_LINES:])


def _pods(pods: Sequence[JobPod], now: datetime) -> Iterator[str]:
    if not pods:
        return
    counts = Counter(pod.state for pod in pods)
    yield f"\nPods ({', '.join(f'{count} {state}' for state, count in counts.most_common())})"
    # Those that work are what one looks for; of many that are done a count is enough.
    chosen = sorted(pods, key=lambda pod: (pod.state == "Succeeded", pod.state == "Running", pod.order))[:_MOST_PODS]
    rows = [
        [p.label, p.name, p.state, p.node or "-", age(p.created, now)] for p in sorted(chosen, key=lambda p: p.order)
    ]
    yield from (f"  {line}" for line in aligned(rows))
    if len(pods) > len(chosen):
        yield f"  and {len(pods) - len(chosen)} more"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
