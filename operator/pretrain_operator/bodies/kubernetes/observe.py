"""From cached children to what the brain observes. Pure: caches and the time come in as arguments."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pretrain_api import cluster
from pretrain_api.events import Outcome
from pretrain_api.log_tail import last_lines
from pretrain_api.report import Report
from pretrain_api.silence import Silence
from pretrain_api.stages import FINISH, Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus
from pretrain_api.world import World
from pretrain_operator.bodies.kubernetes import reports
from pretrain_operator.bodies.kubernetes.seen import BatchJob, Config, Node, Pod
from pretrain_operator.brain import notices, stages
from pretrain_operator.brain.observed import StageRun, Start, Worker

Said = TypeVar("Said", bound=BaseModel)
_KEPT_STARTS = 5
"""So many starts of a stage before the newest keep their Jobs and pods, for their logs."""
_KEPT_WORKERS = 16
"""So many workers of the newest start keep their pods after their end, when they are in no roster any more."""


@dataclass(frozen=True)
class Children:
    """The children of one job, those of other owners left out."""

    pods: Sequence[Pod]
    jobs: Mapping[str, BatchJob]
    configs: Mapping[str, Config]


def owned(pods: Mapping[str, Pod], jobs: Mapping[str, BatchJob], configs: Mapping[str, Config], uid: str) -> Children:
    """The children of the PretrainJob with this uid. An earlier job of the same name may still have some."""
    own_jobs = {name: job for name, job in jobs.items() if job.owner == uid}
    return Children(list(pods.values()), own_jobs, {name: c for name, c in configs.items() if c.owner == uid})


def alive(children: Children, now: datetime) -> frozenset[Start]:
    """Every start of which a pod may still run, or whose Job may still make one."""
    pods = {_start(pod) for pod in children.pods if pod.stage and pod.is_alive(now)}
    jobs = {_start(job) for job in children.jobs.values() if job.stage and not (job.is_complete or job.is_failed)}
    return frozenset(start for start in (*pods, *jobs) if start)


def forgotten(children: Children, stage: Stage, attempt: int, uid: str) -> tuple[list[BatchJob], list[Pod]]:
    """Jobs and training pods that ended some starts before this one, or many replacements ago in this one. Their logs
    have been superseded, and a stage that waits for days until somebody mends its storage would leave thousands of them.
    """
    oldest = attempt - _KEPT_STARTS
    jobs = [
        job
        for job in children.jobs.values()
        if job.stage is stage and job.attempt <= oldest and (job.is_complete or job.is_failed) and not job.is_leaving
    ]
    pods = [
        pod
        for pod in children.pods
        if pod.stage is stage and pod.attempt <= oldest and pod.owner == uid and pod.is_over and not pod.leave_by
    ]
    return jobs, [*pods, *_replaced(children, attempt, uid)] if stage is Stage.TRAIN else pods


def _replaced(children: Children, attempt: int, uid: str) -> list[Pod]:
    """Ended training pods of an attempt that are in no roster, without the newest."""
    published = next((found for c in children.configs.values() if (found := world(c))), None)
    members = {member.uid for member in published.roster} if published else set()
    ended = [
        pod
        for pod in children.pods
        if pod.worker >= 0
        and pod.attempt == attempt
        and pod.owner == uid
        and pod.is_over
        and not pod.leave_by
        and pod.uid not in members
    ]
    return sorted(ended, key=lambda pod: pod.worker)[:-_KEPT_WORKERS]


def stage_run(
    children: Children, recorded: PretrainJobStatus, job_name: str, made_with: str, now: datetime
) -> StageRun | None:
    """The run of the phase that is recorded as running, outside of training."""
    entry = next((s for s in recorded.stages if s.state == "Running" and s.name != Stage.TRAIN), None)
    if entry is None:
        return None
    stage, phase = Stage(entry.name), entry.phase or FINISH.name
    job = children.jobs.get(cluster.phase_name(job_name, stage, entry.attempts, phase))
    pods = [p for p in children.pods if p.stage is stage and (p.attempt, p.phase) == (entry.attempts, phase)]
    is_alive = any(pod.is_alive(now) for pod in pods)
    if job is None and not is_alive:
        return None  # never made, or deleted by somebody: it is made again
    started = job.created if job else min(pod.created for pod in pods)
    outdated = bool(pods) and not any(p.began for p in pods) and all(p.made_with != made_with for p in pods)
    running = StageRun(stage, entry.attempts, "Running", started, phase=phase, is_outdated=outdated)
    if job is None or job.is_leaving:
        if is_alive:
            return running
        return _ended(running, state="Lost", reason="Deleted")
    if job.is_complete:
        return _completed(running, pods, is_last=phase == FINISH.name)
    if job.is_failed:
        return running if is_alive else _failed(running, job, pods)
    return running


def _completed(running: StageRun, pods: Sequence[Pod], is_last: bool) -> StageRun:
    said = [pod.outcome for pod in pods if pod.outcome and pod.outcome.outcome == "complete"]
    outcome = next((o for o in said if o.fingerprint), said[0] if said and not is_last else None)
    if outcome is None and is_last:  # the pod that knew the fingerprint is gone: the next one finds the record
        return _ended(running, state="Lost", reason="PodGone")
    return _ended(running, exit_code=0, outcome=outcome or Outcome(outcome="complete"))


def _failed(running: StageRun, job: BatchJob, pods: Sequence[Pod]) -> StageRun:
    broken = [p for p in pods if p.state == "Failed"]
    own = [p for p in broken if not p.taken_away]
    if not broken:
        return _ended(running, exit_code=1, last_lines=f"{job.reason}: {job.message}")
    pod = min(own or broken, key=lambda p: (not _is_user_error(p), p.ended or p.created))
    return _ended(
        running,
        state="Ended" if own else "Lost",
        exit_code=pod.exit_code,
        outcome=pod.outcome if own else None,
        worker=pod.name,
        node=pod.node,
        reason=pod.taken_away or pod.reason,
        last_lines=_last_lines(pod),
    )


def notices_of(nodes: Iterable[Node]) -> dict[str, str]:
    """What announces their end, of those machines that go soon."""
    told = ((node.name, notices.notice(node.taints, node.conditions)) for node in nodes)
    return {name: notice for name, notice in told if notice}


def workers(
    children: Children,
    recorded: PretrainJobStatus,
    uid: str,
    made_with: str,
    now: datetime,
    leaving: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Worker, ...]:
    """The training workers of the recorded attempt. `leaving`: what announces the end of machines that go soon, by name."""
    attempt = stages.entry(recorded, Stage.TRAIN).attempts
    return tuple(
        _worker(pod, made_with, now, leaving.get(pod.node, ""))
        for pod in children.pods
        if pod.worker >= 0 and pod.attempt == attempt and pod.owner == uid
    )


def _worker(pod: Pod, made_with: str, now: datetime, notice: str) -> Worker:
    is_alive = pod.is_alive(now)
    said = pod.outcome
    is_complete = said is not None and said.outcome == "complete"
    # Whoever was asked to leave has ended because of it, unless its program says that something else came first.
    has_left = pod.leave_by and (not pod.is_over or said is None or said.outcome == "stopped")
    if (pod.taken_away and not is_complete) or has_left:
        state, said = "Lost", None
    elif pod.is_over:
        state = "Ended"
    else:
        state = "Running" if pod.is_running else "Waiting"
    return Worker(
        worker=pod.worker,
        pod=pod.name,
        uid=pod.uid,
        state=state,  # type: ignore[arg-type]
        is_alive=is_alive,
        started=_believed(pod.began, pod, now) or pod.created,
        ended=_believed(pod.ended, pod, now),
        address=pod.address,
        node=pod.node,
        exit_code=pod.exit_code,
        outcome=said,
        reason=pod.taken_away or ("Deleted" if state == "Lost" else pod.reason),
        last_lines=_last_lines(pod),
        is_outdated=pod.began is None and pod.made_with != made_with,
        notice=notice,
    )


def _believed(told: datetime | None, pod: Pod, now: datetime) -> datetime | None:
    """What a kubelet told of its pod, unless that cannot be: its machine's clock may be wrong, and what lies in the future
    would be waited for."""
    return told if told and pod.created <= told <= now else None


def world(config: Config | None) -> World | None:
    """The published roster; None when there is none, or one of another version."""
    return _parsed_world(config.data.get(cluster.WORLD_KEY, "")) if config else None


@functools.lru_cache(maxsize=1024)
def _parsed_world(text: str) -> World | None:
    """A roster of thousands is read at every look and hardly ever changes."""
    try:
        return World.model_validate_json(text) if text else None
    except ValidationError:
        return None


def report(config: Config | None, now: datetime) -> Report | None:
    """What a pod last reported; None for what no training can mean."""
    said = _said(config, cluster.REPORT_KEY, Report)
    return said if said is None else reports.believed(said, now)


def silence(config: Config | None) -> Silence | None:
    """Who does not answer any more, as a pod last said."""
    return _said(config, cluster.SILENCE_KEY, Silence)


def _said(config: Config | None, key: str, kind: type[Said]) -> Said | None:
    """What a pod wrote under a key; None when there is nothing, or of another version."""
    try:
        return kind.model_validate_json(config.data[key]) if config else None
    except (KeyError, ValidationError):
        return None


def checkpoint(reported: Report | None) -> CheckpointStatus | None:
    """The newest checkpoint as reported."""
    found = reported.checkpoint if reported else None
    return CheckpointStatus(step=found.step, uri=found.uri, time=found.time) if found else None


def _start(child: Pod | BatchJob) -> Start | None:
    return Start(child.stage, child.attempt, child.phase or FINISH.name) if child.stage else None


def _is_user_error(pod: Pod) -> bool:
    return bool(pod.outcome and pod.outcome.outcome == "userError")


def _last_lines(pod: Pod) -> str:
    return "" if pod.outcome else last_lines(pod.said)


def _ended(running: StageRun, **changes: object) -> StageRun:
    return StageRun(**{**vars(running), "state": "Ended", **changes})
