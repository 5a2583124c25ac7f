"""A simulated Kubernetes, and operators that work on it: pods, Jobs and a roster under a clock of its own.

The children look as the Kubernetes body sees them (`pretrain_operator.bodies.kubernetes.seen`) and are read by its
functions; what an API server, its controllers and kubelets do to them is simulated. Faults on request.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from zlib import crc32

from pretrain_api import cluster as names
from pretrain_api.errors import PretrainError
from pretrain_api.events import Outcome
from pretrain_api.report import Report, ReportedCheckpoint
from pretrain_api.silence import Silence
from pretrain_api.stages import FINISH, Stage, fingerprint
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus
from pretrain_api.world import World
from pretrain_operator.bodies.body import look
from pretrain_operator.bodies.kubernetes import observe
from pretrain_operator.bodies.kubernetes.observe import Children
from pretrain_operator.bodies.kubernetes.seen import BatchJob, Node, Pod
from pretrain_operator.brain import edits, stages
from pretrain_operator.brain.observed import Observed, Worker
from pretrain_operator.brain.plan import (
    Action,
    DeleteJob,
    DropWorkers,
    KeepSpec,
    KillStage,
    PublishWorld,
    ReleaseJob,
    Requeue,
    StartStage,
    StopStage,
)

JOB = "simulated"
UID = "job-uid"
PHASE_SECONDS = 6.0
"""What a pod of a phase works."""
TRAINING_SECONDS = 40.0
CHECKPOINT_SECONDS = 10.0
"""Work between two checkpoints."""
SAVE_SECONDS = 3.0
"""What a program takes to save and leave."""
TICK_SECONDS = 1.0
_STEP_SECONDS = 1.0

_NOTICE_SECONDS = 10.0
"""After which its neighbours tell of a worker that is frozen."""
_EVICT_SECONDS = 60.0
"""After which its node does."""
NOTICE = "karpenter.sh/disrupted"
"""Taint of a machine that goes."""
_TAKEN_SECONDS = 25.0
"""After which it is gone: the shortest notice that clouds give of a spot machine."""
_TELL_SECONDS = 2.0
"""How long after a worker's program is gone its machine says so."""
Fate = tuple[
    Literal["crash", "kill", "gone", "reset", "evict", "vanish", "freeze", "unheard", "notice", "userError", "missing"],
    float,
]
"""What happens to a pod, and how many seconds after it began to run. gone: it is killed, and its neighbours say so before
its machine does; reset: they say so and it runs on; freeze: it looks as before and does nothing any more; unheard: its
neighbours say so of it, and it does not; notice: its machine goes a while later, and says so; missing: storage is not
there."""


class OperatorKilled(PretrainError):
    """The operator died here; what it had done stays done."""


class Outdated(PretrainError):
    """Somebody else wrote in the meantime."""


@dataclass
class Life:
    """A pod and what becomes of it."""

    pod: Pod
    begins: datetime
    fate: Fate | None
    ahead: timedelta = timedelta()
    """How far the clock of its machine, by which its kubelet tells of it, is ahead of everybody's."""
    asked: datetime | None = None
    frozen: datetime | None = None
    dead: datetime | None = None
    """When it was killed, while its machine has not said so."""
    told: datetime | None = None
    """When its machine said that it goes."""
    roster: World | None = None
    """The one that it follows: the newest that named it, a moment after it was published."""


@dataclass
class Views:
    """What a cache holds at one time."""

    pods: dict[str, Pod] = field(default_factory=dict)
    jobs: dict[str, BatchJob] = field(default_factory=dict)
    world: World | None = None
    report: Report | None = None
    silence: Silence | None = None
    nodes: tuple[Node, ...] = ()
    """Those that say that they go."""


@dataclass(frozen=True)
class Fault:
    """What was done to a pod."""

    stage: Stage
    attempt: int
    kind: str


class SimulatedKubernetes:
    """What outlives operators. Time passes in `advance` alone."""

    def __init__(
        self, spec: PretrainJobSpec, chance: Callable[[], Fate | None], clocks: Callable[[], float] = lambda: 0.0
    ) -> None:
        """`chance`: what becomes of each new pod. `clocks`: seconds that the clock of its machine is ahead."""
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.spec, self.generation, self.chance, self.clocks = spec, 1, chance, clocks
        self.status, self.version = PretrainJobStatus(), 0
        self.deleted: datetime | None = None
        self.is_gone = False
        self.kept: dict[str, PretrainJobSpec] = {}
        self.lives: dict[str, Life] = {}
        self.jobs: dict[str, BatchJob] = {}
        self.world: World | None = None
        self.published = self.now
        self.trained_seconds = 0.0
        self.saved_seconds = 0.0
        self.report: Report | None = None
        self.silence: Silence | None = None
        self.holders: set[str] = set()
        """UIDs of the pods that have what was learned in memory."""
        self.records: dict[Stage, set[str]] = {stage: set() for stage in Stage}
        self.upstream: dict[str, dict[Stage, str]] = {}
        """Of every start that made a child, by the child's name."""
        self.views: list[Views] = [Views()]
        self.most_gangs = 0
        """The most rosters that trained at one time, and the most attempts whose workers followed one."""
        self.faults: list[Fault] = []
        """What happened to pods, one by one."""
        self.asked_to_leave: set[int] = set()
        """Attempts at training of which an operator asked workers to leave."""
        self.ended_by_operators: dict[int, set[str]] = {}
        """UIDs of training pods whose whole start an operator ended, by attempt. One that sees the past may take the newest
        start for a leftover."""
        self.workers_made: dict[int, int] = {}
        """How many training pods were made, by attempt."""
        self._numbers = 0
        self._identities: dict[tuple[str, str, int], str] = {}

    def advance(self, seconds: float = TICK_SECONDS) -> None:
        """Let time pass, and everything happen that belongs to it."""
        self.now += timedelta(seconds=seconds)
        self._train(seconds)
        for life in [life for life in self.lives.values() if not life.pod.is_over]:
            self._live(life)
        self._run_jobs()
        if self.views[-1] != (view := self._view()):
            self.views.append(view)

    def edit(self, spec: PretrainJobSpec) -> None:
        """A person changes the spec."""
        self.spec, self.generation = spec, self.generation + 1

    # What an API server does

    def write_status(self, seen_version: int, status: PretrainJobStatus) -> None:
        if seen_version != self.version:
            raise Outdated("status")
        self.status, self.version = status, self.version + 1

    def make_pod(self, pod: Pod, upstream: dict[Stage, str]) -> None:
        """Make a pod, unless one of its name exists."""
        if pod.name not in self.lives:
            begins = self.now + timedelta(seconds=1 + self._number() % 3)
            self.upstream[pod.name] = upstream
            if pod.worker >= 0:
                self.workers_made[pod.attempt] = self.workers_made.get(pod.attempt, 0) + 1
            made = replace(pod, uid=f"uid-{self._number()}", created=self.now)
            self.lives[pod.name] = Life(made, begins, self.chance(), timedelta(seconds=self.clocks()))

    def make_job(self, job: BatchJob, parts: int, upstream: dict[Stage, str]) -> None:
        """Make a Job with its pods, unless it exists."""
        if job.name in self.jobs:
            return
        made = replace(job, uid=f"uid-{self._number()}", created=self.now)
        self.jobs[job.name] = made
        for index in range(parts):
            self._make_job_pod(made, index, upstream)

    def delete_pod(self, name: str, uid: str, at_once: bool) -> None:
        """Ask a pod to leave; it is gone once it has."""
        life = self.lives.get(name)
        if life is None or life.pod.uid != uid:
            return
        if life.pod.worker >= 0:
            self.asked_to_leave.add(life.pod.attempt)
        grace = timedelta(seconds=1 if at_once else 300)
        if life.pod.is_over or (life.pod.began is None and not life.pod.is_running):
            del self.lives[name]
            return
        leave_by = self.now + grace
        if life.pod.leave_by is None or leave_by < life.pod.leave_by:
            life.pod = replace(life.pod, leave_by=leave_by)
            life.asked = life.asked or self.now

    def delete_job(self, name: str, uid: str) -> None:
        """Delete a Job; its pods are asked to leave."""
        job = self.jobs.get(name)
        if job and job.uid == uid:
            del self.jobs[name]
            for life in list(self.lives.values()):
                if life.pod.owner == uid:
                    self.delete_pod(life.pod.name, life.pod.uid, at_once=False)

    def collect(self) -> None:
        """The job is gone: its children are collected."""
        self.is_gone = True
        self.jobs.clear()
        for life in list(self.lives.values()):
            self.delete_pod(life.pod.name, life.pod.uid, at_once=False)

    def publish(self, seen: World | None, world: World) -> None:
        """Write the roster over the one that was seen, unless workers of other attempts are there."""
        if seen != self.world or any(
            life.pod.worker >= 0 and life.pod.attempt != world.attempt and not life.pod.is_over
            for life in self.lives.values()
        ):
            raise Outdated("world")
        if self.world is None or world.generation > self.world.generation:
            self.world, self.published = world, self.now

    # What controllers and kubelets do

    def _live(self, life: Life) -> None:
        pod, now = life.pod, self.now
        if not pod.is_running:
            if now >= life.begins:
                address = f"10.0.0.{self._number()}"
                began, node = now + life.ahead, f"node-of-{pod.name}"
                life.pod = replace(pod, state="Running", is_running=True, began=began, address=address, node=node)
            return
        assert pod.began is not None
        seconds = (now + life.ahead - pod.began).total_seconds()
        if life.frozen:
            if now >= min(
                life.frozen + timedelta(seconds=_EVICT_SECONDS), pod.leave_by or datetime.max.replace(tzinfo=UTC)
            ):
                del self.lives[pod.name]
        elif life.dead:
            if now >= life.dead + timedelta(seconds=_TELL_SECONDS):
                self._kill(life)
        elif life.asked and now >= min(life.asked + timedelta(seconds=SAVE_SECONDS), pod.leave_by or now):
            del self.lives[pod.name]
        elif life.told and now >= life.told + timedelta(seconds=_TAKEN_SECONDS):
            self._evict(life)
        elif life.fate and seconds >= life.fate[1]:
            self._strike(life, life.fate[0])
        elif pod.stage is Stage.TRAIN:
            self._live_in_gang(life)
        elif seconds >= (0.5 if self._is_recorded(pod) else PHASE_SECONDS):
            self._end(life, 0, self._complete(pod))

    def _live_in_gang(self, life: Life) -> None:
        """A worker that no roster names waits for one, and so does one that has lost another member of its own."""
        pod = life.pod
        if self.world and self.world.rank_of(pod.uid) is not None and self.now >= self.published + self._delay(pod):
            life.roster = self.world
        if life.roster is None:
            return
        if self._is_recorded(pod) or self.trained_seconds >= TRAINING_SECONDS:
            self._end(life, 0, self._complete(pod))

    def _delay(self, pod: Pod) -> timedelta:
        """How long after its publication a roster is seen: by some of its members later than by others."""
        assert self.world is not None
        return timedelta(seconds=(crc32(pod.uid.encode()) + self.world.generation) % 3)

    def _strike(self, life: Life, kind: str) -> None:
        pod = life.pod
        if pod.stage:
            self.faults.append(Fault(pod.stage, pod.attempt, kind))
        life.fate = None
        match kind:
            case "freeze" if pod.worker >= 0:
                life.frozen = self.now
            case "unheard" if pod.worker >= 0:
                self._tell_of([pod])
            case "gone" if pod.worker >= 0:
                life.dead = self.now
                self._tell_of([], [pod])
            case "reset" if pod.worker >= 0:
                self._tell_of([], [pod])
            case "vanish" | "freeze" | "unheard" | "reset":
                del self.lives[pod.name]
            case "evict":
                self._evict(life)
            case "notice":
                life.told = self.now
            case "kill" | "gone":
                self._kill(life)
            case "userError":
                self._end(life, 2, Outcome(outcome="userError", code="unknown-format", message="wrong"))
            case "missing":
                self._end(life, 2, Outcome(outcome="userError", code="unreachable", message="no storage"))
            case _:
                self._end(life, 1, Outcome(outcome="failed", kind="Runtime", message="boom", rank=max(0, pod.worker)))

    def _evict(self, life: Life) -> None:
        life.pod = replace(life.pod, taken_away="EvictionByEvictionAPI")
        self._end(life, 143, None)

    def _kill(self, life: Life) -> None:
        life.pod = replace(life.pod, reason="OOMKilled")
        self._end(life, 137, None)

    def _tell_of(self, silent: Sequence[Pod], gone: Sequence[Pod] = ()) -> None:
        """Members say that they do not hear these others any more, or that their programs are gone."""
        if self.world and any(self.world.rank_of(pod.uid) is not None for pod in (*silent, *gone)):
            names, ended = (tuple(pod.name for pod in pods) for pods in (silent, gone))
            self.silence = Silence(generation=self.world.generation, workers=names, gone=ended, why="lost")

    def _end(self, life: Life, code: int, said: Outcome | None) -> None:
        state = "Succeeded" if code == 0 else "Failed"
        text = said.model_dump_json() if said else ""
        life.pod = replace(
            life.pod, state=state, is_running=False, exit_code=code, ended=self.now + life.ahead, said=text
        )

    def _complete(self, pod: Pod) -> Outcome:
        assert pod.stage is not None
        is_last = pod.phase in ("", FINISH.name)
        if not is_last and not self._is_recorded(pod):
            return Outcome(outcome="complete")
        made = self._identity(pod)
        skipped = made in self.records[pod.stage]
        self.records[pod.stage].add(made)
        return Outcome(outcome="complete", fingerprint=made, skipped=skipped)

    def _identity(self, pod: Pod) -> str:
        assert pod.stage is not None
        key = (pod.name, pod.uid, self.generation)
        if key not in self._identities:
            self._identities[key] = fingerprint(pod.stage, self.spec, self.upstream[pod.name])
        return self._identities[key]

    def _is_recorded(self, pod: Pod) -> bool:
        return pod.stage is not None and self._identity(pod) in self.records[pod.stage]

    def _train(self, seconds: float) -> None:
        """One of the members that has the state in memory gives it to the others; where none is left, storage does."""
        running = {life.pod.uid: life for life in self.lives.values() if life.pod.worker >= 0 and life.pod.is_running}
        frozen = [life for life in running.values() if life.frozen]
        running = {uid: life for uid, life in running.items() if not (life.frozen or life.dead)}
        self._miss(frozen, running)
        self.holders &= set(running)
        if not self.holders:
            self.trained_seconds = self.saved_seconds
        followed = {life.roster.generation: life.roster for life in running.values() if life.roster}
        training = [
            world
            for world in followed.values()
            if all(m.uid in running and running[m.uid].roster == world for m in world.roster)
        ]
        for world in training:
            members = {member.uid for member in world.roster}
            if not self.holders & members:
                self.trained_seconds = self.saved_seconds
            self.holders = members
            self.trained_seconds += seconds
            saved = self.trained_seconds // CHECKPOINT_SECONDS * CHECKPOINT_SECONDS
            self.saved_seconds = max(self.saved_seconds, saved)
            self._report(world)
        self.most_gangs = max(self.most_gangs, len(training), len({world.attempt for world in followed.values()}))

    def _miss(self, frozen: Sequence[Life], running: Mapping[str, Life]) -> None:
        """Those that trained with the frozen ones tell of them."""
        long_ago = self.now - timedelta(seconds=_NOTICE_SECONDS)
        missed = [life for life in frozen if life.frozen and life.frozen <= long_ago and life.roster == self.world]
        if missed and any(life.roster == self.world for life in running.values()):
            self._tell_of([life.pod for life in missed])

    def _report(self, world: World) -> None:
        if self.trained_seconds >= _STEP_SECONDS:
            saved, step = int(self.saved_seconds), int(self.trained_seconds)
            kept = ReportedCheckpoint(step=saved, uri="x", time=self.now) if saved else None
            figures = {"step": float(step), "totalSteps": TRAINING_SECONDS}
            self.report = Report(
                stage=Stage.TRAIN, attempt=world.attempt, time=self.now, figures=figures, checkpoint=kept
            )

    def _run_jobs(self) -> None:
        for job in list(self.jobs.values()):
            if job.is_complete or job.is_failed:
                continue
            pods = [life.pod for life in self.lives.values() if life.pod.owner == job.uid]
            own = [p for p in pods if p.state == "Failed" and not p.taken_away]
            if own:
                self.jobs[job.name] = replace(job, is_failed=True, reason="FailedIndexes")
                for pod in pods:
                    if not pod.is_over:
                        self.delete_pod(pod.name, pod.uid, at_once=False)
                continue
            wanted = set(range(job.active))
            there = {_index(p) for p in pods if p.state in ("Pending", "Running", "Succeeded")}
            for index in wanted - there:
                self._make_job_pod(job, index, self.upstream[job.name])
            if wanted <= {_index(p) for p in pods if p.state == "Succeeded"}:
                self.jobs[job.name] = replace(job, is_complete=True)

    def _make_job_pod(self, job: BatchJob, index: int, upstream: dict[Stage, str]) -> None:
        self.upstream[job.name] = upstream
        name = f"{job.name}-{index}-{self._number()}"
        pod = Pod(name, "", job.uid, job.stage, job.attempt, job.phase, -1, "Pending", self.now, image=str(index))
        self.make_pod(pod, upstream)

    def _view(self) -> Views:
        pods = {name: life.pod for name, life in self.lives.items()}
        leaving = tuple(Node(life.pod.node, "", (NOTICE,)) for life in self.lives.values() if life.told)
        return Views(pods, dict(self.jobs), self.world, self.report, self.silence, leaving)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


def _index(pod: Pod) -> int:
    """The index of a Job's pod."""
    return int(pod.image)


class SimulatedOperator:
    """One operator: its caches lag behind, its clock may be wrong, and it may be killed between any two calls."""

    def __init__(self, cluster: SimulatedKubernetes, chance: random.Random, lag: int = 0, death: float = 0.0) -> None:
        self._cluster, self._chance, self._lag, self._death = cluster, chance, lag, death
        self._view = max(0, len(cluster.views) - 1 - lag)
        self._status, self._version = cluster.status, cluster.version
        self.clock_seconds = 0.0

    def turn(self) -> float | None:
        """Look and act once; the seconds until the next look. Raises OperatorKilled."""
        newest = len(self._cluster.views) - 1
        self._view = max(self._view, newest - self._chance.randint(0, self._lag))
        if self._chance.random() < 0.7 or self._version > self._cluster.version:
            self._refresh()
        try:
            decision, news = look(self, self._cluster.spec)
            if news is not None:
                self._live()
                self._cluster.write_status(self._version, news)
                self._refresh()
            for action in decision.actions:
                self._live()
                self._carry_out(action)
        except Outdated:
            self._refresh()
            return 0.5
        return decision.look_again_seconds

    def recorded(self) -> PretrainJobStatus:
        return self._status

    def observe(self, recorded: PretrainJobStatus) -> Observed:
        cluster, view, now = self._cluster, self._cluster.views[self._view], self._now()
        seen = Children(list(view.pods.values()), view.jobs, {})
        run = observe.stage_run(seen, recorded, JOB, "", now)
        if run and run.outcome is None and run.state == "Lost" and self._view < len(cluster.views) - 1:
            run = None if run.reason != "PodGone" else observe.stage_run(self._fresh(), recorded, JOB, "", now)
        workers = observe.workers(seen, recorded, UID, "", now, observe.notices_of(view.nodes))
        attempt = stages.entry(recorded, Stage.TRAIN).attempts
        if view.world and view.world.attempt == attempt:
            known = {w.uid for w in workers}
            there = {life.pod.uid for life in cluster.lives.values()}
            missing = [m for m in view.world.roster if m.uid not in known and m.uid in there]
            workers = (*workers, *(Worker(m.worker, m.pod, m.uid, "Running", address=m.address) for m in missing))
        saved = view.report.checkpoint if view.report else None
        return Observed(
            now=now,
            generation=cluster.generation,
            runs={run.stage: run} if run else {},
            checkpoint=CheckpointStatus(step=saved.step, uri=saved.uri) if saved else None,
            logs=f"pretrain logs {JOB}",
            is_unattended=True,
            deleted=cluster.deleted,
            accepted=cluster.kept.get(recorded.accepted_job),
            parts=max(1, cluster.spec.data.prepare.parallelism),
            most_workers=cluster.spec.workers.max,
            workers=workers,
            world=view.world,
            report=view.report,
            silence=view.silence,
            alive=observe.alive(seen, now),
        )

    def _carry_out(self, action: Action) -> None:
        cluster, view = self._cluster, self._cluster.views[self._view]
        match action:
            case StartStage(stage=Stage.TRAIN):
                existing = {p.worker for p in view.pods.values() if p.worker >= 0 and p.attempt == action.attempt}
                for worker in action.workers:
                    if worker not in existing:
                        self._live()
                        name = names.worker_name(JOB, worker, action.attempt)
                        pod = Pod(name, "", UID, Stage.TRAIN, action.attempt, "", worker, "Pending", cluster.now)
                        cluster.make_pod(pod, dict(action.upstream))
            case StartStage():
                name = names.phase_name(JOB, action.stage, action.attempt, action.phase)
                job = BatchJob(
                    name, "", UID, action.stage, action.attempt, action.phase, cluster.now, active=action.parts
                )
                cluster.make_job(job, action.parts, dict(action.upstream))
                cluster.kept[edits.digest(cluster.spec)] = cluster.spec
            case StopStage() | KillStage():
                name = names.phase_name(JOB, action.stage, action.attempt, action.phase)
                if job_ := view.jobs.get(name):
                    cluster.delete_job(name, job_.uid)
                for pod in view.pods.values():
                    same = (pod.stage, pod.attempt) == (action.stage, action.attempt)
                    if same and (pod.phase or FINISH.name) == action.phase and not pod.is_over:
                        self._live()
                        if pod.worker >= 0:
                            cluster.ended_by_operators.setdefault(pod.attempt, set()).add(pod.uid)
                        cluster.delete_pod(pod.name, pod.uid, at_once=isinstance(action, KillStage))
            case PublishWorld():
                cluster.publish(view.world, action.world)
            case DropWorkers():
                for pod in view.pods.values():
                    if pod.attempt == action.attempt and pod.worker in action.workers:
                        cluster.delete_pod(pod.name, pod.uid, at_once=True)
            case KeepSpec():
                cluster.kept[edits.digest(action.spec)] = action.spec
            case ReleaseJob() | DeleteJob():
                cluster.collect()
            case Requeue():
                pass

    def _fresh(self) -> Children:
        return Children([life.pod for life in self._cluster.lives.values()], self._cluster.jobs, {})

    def _now(self) -> datetime:
        return self._cluster.now + timedelta(seconds=self.clock_seconds)

    def _refresh(self) -> None:
        self._status, self._version = self._cluster.status, self._cluster.version

    def _live(self) -> None:
        if self._chance.random() < self._death:
            raise OperatorKilled("killed between two calls")
