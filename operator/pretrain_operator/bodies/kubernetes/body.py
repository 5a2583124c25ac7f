"""The Kubernetes body of one job: looks into caches, and carries a plan out through the API server."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from pretrain_api import cluster, rules, translate
from pretrain_api.errors import PretrainError
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob, PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import World
from pretrain_operator.bodies.kubernetes import apply, children, merge_patch, observe, troubles
from pretrain_operator.bodies.kubernetes.apply import ForeignObject
from pretrain_operator.bodies.kubernetes.children import Owner, PodSettings
from pretrain_operator.bodies.kubernetes.client import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    PODS,
    PRETRAIN_JOBS,
    ROLE_BINDINGS,
    ApiError,
    Client,
    Manifest,
)
from pretrain_operator.bodies.kubernetes.informer import Informer, Key
from pretrain_operator.bodies.kubernetes.limits import Limiter
from pretrain_operator.bodies.kubernetes.neighbours import Neighbours
from pretrain_operator.bodies.kubernetes.observe import Children
from pretrain_operator.bodies.kubernetes.seen import POD, BatchJob, Config, Node, Pod
from pretrain_operator.brain import edits, progress, stages, tenants
from pretrain_operator.brain.observed import Observed, Trouble, Worker
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

_EVENTS = timedelta(seconds=6)
"""How long what the cluster's events say is taken for current."""
_ASKED_BY_NAME = 64
"""The largest roster whose members are asked for one by one."""
_AT_ONCE_SECONDS = 1
"""Grace of a pod that has nothing to save any more. 0 would remove it from the API server while it may still run."""


class Outdated(PretrainError):
    """Somebody else wrote in the meantime; look again."""


@dataclass
class Surroundings:
    """What all jobs of an operator share."""

    client: Client
    pods: Informer[Pod]
    jobs: Informer[BatchJob]
    configs: Informer[Config]
    settings: PodSettings
    nodes: Informer[Node] | None = None
    """None where the operator may not read them: what is served is some namespaces, and nodes are in none."""
    neighbours: Neighbours = field(default_factory=Neighbours)
    questions: Limiter = field(default_factory=lambda: Limiter(rate=1, burst=10))
    """About events, which the API server looks for among all of a namespace: dear where thousands of pods start."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


class KubernetesBody:
    """One PretrainJob in its cluster. What it keeps in memory can be read again at any time."""

    def __init__(self, surroundings: Surroundings, manifest: Manifest) -> None:
        self.around = surroundings
        self.key: Key = (manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        self._manifest: Manifest = {}
        self._version = -1
        self._parsed: tuple[str, object] = ("", None)
        self._kept_in: Config | None = None
        self._kept: PretrainJobSpec | None = None
        self._recorded_at: datetime | None = None
        self._made: set[str] = set()
        self._gone: set[str] = set()
        self._said: dict[str, str] = {}
        self._asked_at = datetime.min.replace(tzinfo=UTC)
        self._refused: Trouble | None = None
        self.see(manifest)

    # What the API server says about the job itself

    def see(self, manifest: Manifest) -> None:
        """Take in a version of the job, unless a newer one is known."""
        version = int(manifest["metadata"]["resourceVersion"])
        if version <= self._version:
            return
        self._manifest, self._version = manifest, version
        metadata = manifest["metadata"]
        self.uid = str(metadata["uid"])
        self.is_deleted = "deletionTimestamp" in metadata
        self._status = _status(manifest)
        if self._parsed != (edition := (self.uid, metadata.get("generation"))):
            self.spec, self.problem = _spec(manifest)
            self._parsed, self._kept_in = edition, None
        self._show_to_neighbours()

    @property
    def wanted(self) -> PretrainJobSpec | None:
        """The spec to decide on: as it stands, or as it was last accepted when it cannot be followed."""
        return self.spec or self._accepted()

    @property
    def reference(self) -> Manifest:
        """The job as an Event refers to it."""
        namespace, name = self.key
        kind = {"apiVersion": PRETRAIN_JOBS.group_version, "kind": PRETRAIN_JOBS.kind}
        return {**kind, "namespace": namespace, "name": name, "uid": self.uid, "resourceVersion": str(self._version)}

    # Eyes

    def recorded(self) -> PretrainJobStatus:
        return self._status

    async def prepare(self) -> None:
        """Ask the API server about what the caches cannot know. Rare: a lost pod, a pod that does not start."""
        seen, now = self._children(), self.around.now()
        attempt = stages.entry(self._status, Stage.TRAIN).attempts
        published = observe.world(seen.configs.get(cluster.world_name(self.key[1])))
        if published and published.attempt == attempt and not self._status.completion_time:
            known = {pod.uid for pod in seen.pods} | self._gone
            missing = [member for member in published.roster if member.uid not in known]
            await apply.gathered(self._look_for(member.pod, member.uid) for member in missing)
        owners = {pod.owner for pod in seen.pods}
        for job in seen.jobs.values():
            if job.is_complete and job.uid not in owners and job.uid not in self._gone:
                await self._look_for_pods_of(job)
        doubtful = troubles.in_doubt(seen, now)
        if not doubtful:
            self._said = {}
        elif not timedelta() <= now - self._asked_at < _EVENTS and self.around.questions.take():
            self._asked_at = now
            self._said = {child.uid: message for child in doubtful if (message := await self._events_about(child.uid))}
            if self.wanted and any("not found" in message for message in self._said.values()):
                self._made.clear()  # somebody may have deleted what we made for the pods
                await self._surround(self._owner(self.wanted_now()))

    def observe(self, recorded: PretrainJobStatus) -> Observed:
        now, seen, made_with = self.around.now(), self._children(), self.around.settings.digest
        published = observe.world(seen.configs.get(cluster.world_name(self.key[1])))
        attempt = stages.entry(recorded, Stage.TRAIN).attempts
        workers = observe.workers(seen, recorded, self.uid, made_with, now, self._leaving(seen))
        if published and published.attempt == attempt:
            workers = _with_unconfirmed(workers, published, self._gone)
        told = seen.configs.get(cluster.report_name(self.key[1]))
        reported = observe.report(told, now)
        run = observe.stage_run(seen, recorded, self.key[1], made_with, now)
        found = list(troubles.of_pods(seen, self.wanted, self._said, now)) if self.wanted else []
        metadata = self._manifest["metadata"]
        return Observed(
            now=now,
            uid=self.uid,
            tenants=self.around.neighbours.of(self.key),
            generation=int(metadata.get("generation", 1)),
            runs={run.stage: run} if run else {},
            checkpoint=observe.checkpoint(reported),
            logs=f"pretrain logs {self.key[1]} -n {self.key[0]}",
            is_unattended=True,
            deleted=_deleted(metadata),
            accepted=self._accepted(),
            invalid=self.problem,
            parts=max(1, self.wanted.data.prepare.parallelism) if self.wanted else 1,
            most_workers=self.wanted.workers.max if self.wanted else 1,
            workers=workers,
            world=published,
            report=reported,
            silence=observe.silence(told),
            alive=observe.alive(seen, now),
            is_waiting=troubles.is_waiting(seen),
            is_queued=troubles.is_queued(seen),
            troubles=(*([self._refused] if self._refused else []), *found),
        )

    # Hands

    async def hold(self) -> None:
        """Put our finalizer on the job before anything is made for it."""
        finalizers = self._manifest["metadata"].get("finalizers", [])
        if cluster.FINALIZER not in finalizers and not self.is_deleted:
            await self._write({"metadata": {"finalizers": [*finalizers, cluster.FINALIZER]}})

    async def record(self, status: PretrainJobStatus) -> None:
        """Write the status if nobody wrote since; what is only for people to watch only now and then."""
        now = self.around.now()
        if progress.is_news(self._status, status, now, self._recorded_at, self.uid):
            before = self._manifest.get("status", {})
            after = status.model_dump(mode="json", by_alias=True, exclude_none=True)
            await self._write({"status": merge_patch.between(before, after)}, subresource="status")
            self._recorded_at = now

    async def carry_out(self, action: Action) -> None:
        """Raises Outdated when the world changed meanwhile, ApiError when the API server does not take it."""
        match action:
            case StartStage():
                await self._start(action)
            case StopStage():
                await self._end(action.stage, action.attempt, action.phase, grace=None)
            case KillStage():
                await self._end(action.stage, action.attempt, action.phase, grace=_AT_ONCE_SECONDS)
            case PublishWorld():
                await self._publish(action)
            case DropWorkers():
                pods = [p for p in self._training_pods(action.attempt) if p.worker in action.workers]
                await apply.gathered(self._delete_pod(pod, _AT_ONCE_SECONDS) for pod in pods)
            case KeepSpec():
                await self._keep(self._owner(action.spec))
            case ReleaseJob():
                await self._release()
            case DeleteJob():
                await self.around.client.delete(PRETRAIN_JOBS, *self.key, uid=self.uid)
            case Requeue():
                pass

    async def _start(self, start: StartStage) -> None:
        owner = self._owner(self.wanted_now())
        try:
            if start.stage is Stage.TRAIN:
                if start.attempt == 1:
                    await self._surround(owner)
                    await self._make_workers(owner, start)
                else:  # an earlier start has made it: whoever restarts does not wait until it is looked after
                    await apply.gathered([self._surround(owner), self._make_workers(owner, start)])
            else:
                await self._surround(owner)
                manifest = children.phase_job(owner, start, self.around.settings)
                self.around.jobs.add(await apply.made(self.around.client, JOBS, manifest))
        except ForeignObject as error:
            self._refused = None if error.is_leaving else Trouble("NameTaken", f"{error} Rename or delete it.")
            raise Outdated(str(error)) from error
        except ApiError as error:
            if error.status in (400, 403, 404, 422):
                self._made.clear()  # what the pods need may have been deleted
                self._refused = troubles.refused(f"A pod or Job of {start.stage}", self.key[1], error.message)
            raise
        self._refused = None
        await self._forget(start)

    async def _forget(self, start: StartStage) -> None:
        """Let go of what long ended, so that a stage that is tried again and again fills no cluster."""
        client, namespace = self.around.client, self.key[0]
        jobs, pods = observe.forgotten(self._children(), start.stage, start.attempt, self.uid)
        await apply.gathered(
            [
                *(client.delete(JOBS, namespace, job.name, job.uid) for job in jobs),
                *(client.delete(PODS, namespace, pod.name, pod.uid) for pod in pods),
            ]
        )

    async def _group(self, owner: Owner, start: StartStage) -> None:
        """The object that places the workers of this start together, and the end of those of earlier ones."""
        wanted = children.pod_group(owner, start)
        if wanted is None:
            return
        (group, manifest), client = wanted, self.around.client
        name = manifest["metadata"]["name"]
        try:
            await apply.made(client, group.resource, manifest)
            earlier = await client.list_page(
                group.resource, self.key[0], labelSelector=f"{cluster.LABEL_JOB}={self.key[1]}"
            )
        except ApiError as error:
            if not error.is_gone and error.status != 403:
                raise
            self._refused = troubles.no_gangs(group, error.message)
            raise Outdated(str(error)) from error
        for other in (each["metadata"] for each in earlier["items"]):
            if other["name"] != name:
                await client.delete(group.resource, self.key[0], other["name"], other["uid"])

    async def _surround(self, owner: Owner) -> None:
        """What the pods need, made once in this operator's life and again when something is refused."""
        client = self.around.client
        wanted = [
            (resource, m)
            for resource, m in children.surroundings(owner)
            if self._id(resource.kind, m) not in self._made
        ]
        bindings = [child for child in wanted if child[0] is ROLE_BINDINGS]
        others = [child for child in wanted if child[0] is not ROLE_BINDINGS]
        for group in (others, bindings):  # a binding to a Role that is not there yet is refused
            for manifest in await apply.gathered(apply.ensured(client, r, m) for r, m in group):
                self._take_config(manifest)
        self._made |= {self._id(resource.kind, manifest) for resource, manifest in wanted}
        await self._keep(owner)

    async def _keep(self, owner: Owner) -> None:
        if children.job_config_name(owner) not in self._children().configs:
            self._take_config(await apply.made(self.around.client, CONFIG_MAPS, children.job_config(owner)))

    async def _make_workers(self, owner: Owner, start: StartStage) -> None:
        await self._group(owner, start)
        existing = {pod.worker for pod in self._training_pods(start.attempt)}
        missing = [worker for worker in start.workers if worker not in existing]
        pods = [children.training_pod(owner, start, worker, self.around.settings) for worker in missing]
        await apply.gathered(self._make_pod(pod) for pod in pods)

    async def _make_pod(self, manifest: Manifest) -> None:
        self.around.pods.add(await apply.made(self.around.client, PODS, manifest))

    async def _publish(self, action: PublishWorld) -> None:
        """Write the roster over the one that was seen; whoever saw an older one is refused."""
        name = cluster.world_name(self.key[1])
        found = self._children().configs.get(name)
        if found is None:
            self._made.clear()  # somebody may have deleted it
            await self._surround(self._owner(self.wanted_now()))
            raise Outdated(f"ConfigMap {name} is not there yet")
        before = observe.world(found)
        if before and before.generation >= action.world.generation:
            return
        if before and before.attempt != action.world.attempt:
            await self._left(before)
        patch = {
            "metadata": {"uid": found.uid, "resourceVersion": found.version},
            "data": {cluster.WORLD_KEY: action.world.model_dump_json()},
        }
        try:
            await self.around.client.merge(CONFIG_MAPS, self.key[0], name, patch)
        except ApiError as error:
            if error.is_conflict or error.is_gone:
                raise Outdated(str(error)) from error
            raise

    async def _left(self, before: World) -> None:
        """Raises Outdated while a worker of an earlier attempt's roster is there, whatever the cache says: gangs must
        not meet.

        No other pod of that attempt can train: one that was in no roster waits for one that never comes, and one that
        was left out of the last one lacks the members that followed it.
        """
        for pod in await self._now_there(before):
            if pod.is_alive(self.around.now()):
                raise Outdated(f"worker {pod.name} of an earlier attempt is still there")

    async def _now_there(self, world: World) -> list[Pod]:
        """The members of a roster that the API server has. A list by label makes it read all pods of the namespace, so
        the few of a usual roster are asked for by name."""
        if len(world.roster) <= _ASKED_BY_NAME:
            found = await apply.gathered(self._pod_now(member.pod, member.uid) for member in world.roster)
            return [pod for pod in found if isinstance(pod, Pod)]
        selector = f"{cluster.LABEL_JOB}={self.key[1]},{cluster.LABEL_WORKER},{cluster.LABEL_ATTEMPT}={world.attempt}"
        members, query = {member.uid for member in world.roster}, {"labelSelector": selector, "limit": "500"}
        pods: list[Pod] = []
        while True:
            page = await self.around.client.list_page(PODS, self.key[0], **query)
            for manifest in page["items"]:
                self.around.pods.add(manifest)
                pods.append(POD.of(manifest))
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return [pod for pod in pods if pod.uid in members]

    async def _end(self, stage: Stage, attempt: int, phase: str, grace: int | None) -> None:
        seen, pods = self._children(), []
        job = seen.jobs.get(cluster.phase_name(self.key[1], stage, attempt, phase))
        if job and not job.is_leaving and stage is not Stage.TRAIN:
            await self.around.client.delete(JOBS, self.key[0], job.name, job.uid)
        if stage is Stage.TRAIN:
            pods = self._training_pods(attempt)
        elif grace is not None or job is None:
            pods = [p for p in seen.pods if (p.stage, p.attempt, p.phase) == (stage, attempt, phase)]
        await apply.gathered(self._delete_pod(pod, grace) for pod in pods if not pod.is_over)

    async def _delete_pod(self, pod: Pod, grace: int | None) -> None:
        """Ask a pod to leave; a second time only if it is to leave sooner."""
        if pod.leave_by is None or (grace is not None and (pod.leave_by - self.around.now()).total_seconds() > grace):
            await self.around.client.delete(PODS, self.key[0], pod.name, pod.uid, grace)

    async def _release(self) -> None:
        finalizers = self._manifest["metadata"].get("finalizers", [])
        if cluster.FINALIZER in finalizers:
            left = [f for f in finalizers if f != cluster.FINALIZER]
            await self._write({"metadata": {"finalizers": left or None}})

    async def _write(self, patch: Manifest, subresource: str = "") -> None:
        """Patch the job as it was seen. Raises Outdated, with the newest version taken in, when somebody was faster."""
        version = {"metadata": {**patch.get("metadata", {}), "resourceVersion": str(self._version), "uid": self.uid}}
        try:
            self.see(await self.around.client.merge(PRETRAIN_JOBS, *self.key, {**patch, **version}, subresource))
        except ApiError as error:
            if error.is_conflict:
                self.see(await self.around.client.get(PRETRAIN_JOBS, *self.key))
            if error.is_conflict or error.is_gone:
                raise Outdated(str(error)) from error
            raise

    # Small helpers

    def _show_to_neighbours(self) -> None:
        created = datetime.fromisoformat(self._manifest["metadata"]["creationTimestamp"])
        own = tenants.tenant("/".join(self.key), self.uid, created, self.is_deleted, self._status)
        place = tenants.place(self.wanted, self.key[0]) if self.wanted else ""
        self.around.neighbours.show(self.key, place, own)

    def wanted_now(self) -> PretrainJobSpec:
        """The spec that programs are started with: what the brain accepted of the wanted one."""
        wanted = self.wanted
        assert wanted is not None, "nothing is started without a spec"
        return edits.taken(wanted, self._accepted(), self._status).spec

    def _accepted(self) -> PretrainJobSpec | None:
        if not self._status.accepted_job:
            return None
        name = cluster.job_name(self.key[1], self._status.accepted_job)
        found = self.around.configs.of(self.key).get(name)
        if found is None or found.owner != self.uid:
            return None
        if found is not self._kept_in:  # read once, not at each look
            kept = _kept_spec(found)
            # For programs the same as the one that stands there: one object for both, which is also quick to compare.
            is_same = kept is not None and self.spec is not None and edits.digest(kept) == edits.digest(self.spec)
            self._kept_in, self._kept = found, self.spec if is_same else kept
        return self._kept

    def _owner(self, spec: PretrainJobSpec) -> Owner:
        namespace, name = self.key
        job = PretrainJob.model_validate({"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        return Owner(job, self.uid)

    def _children(self) -> Children:
        around = self.around
        return observe.owned(around.pods.of(self.key), around.jobs.of(self.key), around.configs.of(self.key), self.uid)

    def _training_pods(self, attempt: int) -> list[Pod]:
        return [p for p in self._children().pods if p.worker >= 0 and p.attempt == attempt and p.owner == self.uid]

    def _leaving(self, seen: Children) -> dict[str, str]:
        """What announces the end of nodes, of those where the job has pods."""
        nodes, names = self.around.nodes, {pod.node for pod in seen.pods}
        return observe.notices_of(node for name in names for node in nodes.of(("", name)).values()) if nodes else {}

    def _take_config(self, manifest: object) -> None:
        if isinstance(manifest, dict) and manifest.get("kind") == "ConfigMap":
            self.around.configs.add(manifest)

    async def _look_for(self, name: str, uid: str) -> None:
        if await self._pod_now(name, uid) is None:
            self._gone.add(uid)

    async def _pod_now(self, name: str, uid: str) -> Pod | None:
        """The pod as the API server has it now, known to the cache from here on; None when it is gone."""
        try:
            found = await self.around.client.get(PODS, self.key[0], name)
        except ApiError as error:
            if not error.is_gone:
                raise
            return None
        if found["metadata"]["uid"] != uid:
            return None
        self.around.pods.add(found)
        return POD.of(found)

    async def _look_for_pods_of(self, job: BatchJob) -> None:
        selector = f"{cluster.LABEL_JOB}={self.key[1]},batch.kubernetes.io/job-name={job.name}"
        page = await self.around.client.list_page(PODS, self.key[0], labelSelector=selector, limit="500")
        for manifest in page["items"]:
            self.around.pods.add(manifest)
        if not page["items"]:
            self._gone.add(job.uid)

    async def _events_about(self, uid: str) -> str:
        """The newest warning about an object that keeps it from starting."""
        selector = f"involvedObject.uid={uid},type=Warning"
        try:
            page = await self.around.client.list_page(EVENTS, self.key[0], fieldSelector=selector, limit="50")
        except ApiError:  # what they say is worth knowing, and no more
            return ""
        return troubles.newest_warning(page["items"])

    @staticmethod
    def _id(kind: str, manifest: Manifest) -> str:
        return f"{kind}/{manifest['metadata']['name']}"


def _status(manifest: Manifest) -> PretrainJobStatus:
    """The recorded status. Fields of a newer version are left out; they are written again by the next one."""
    status = manifest.get("status", {})
    try:
        return PretrainJobStatus.model_validate(status)
    except ValidationError as error:
        unknown = [e["loc"] for e in error.errors() if e["type"] == "extra_forbidden"]
        if not unknown:
            raise
    status = copy.deepcopy(status)
    for *parents, name in unknown:
        part: Any = status
        for parent in parents:
            part = part[parent]
        del part[name]
    return PretrainJobStatus.model_validate(status)


def _spec(manifest: Manifest) -> tuple[PretrainJobSpec | None, str]:
    """The spec as it stands, and what is wrong with it: the same rules as in `pretrain validate`."""
    metadata = {key: manifest["metadata"][key] for key in ("name", "namespace")}
    try:
        job = PretrainJob.model_validate({"metadata": metadata, "spec": manifest.get("spec", {})})
    except ValidationError as error:
        found = list(translate.problems(error.errors(include_url=False)))
    else:
        found = list(rules.problems(job))
        if not found:
            return job.spec, ""
    return None, "; ".join(str(problem) for problem in found)


def _kept_spec(config: Config) -> PretrainJobSpec | None:
    """The accepted spec in a job's ConfigMap; None when it cannot be read any more."""
    try:
        return PretrainJob.model_validate_json(config.data[cluster.JOB_FILE]).spec
    except (KeyError, ValidationError):
        return None


def _deleted(metadata: Manifest) -> datetime | None:
    text = metadata.get("deletionTimestamp")
    return datetime.fromisoformat(text) if text else None


def _with_unconfirmed(workers: tuple[Worker, ...], published: World, gone: set[str]) -> tuple[Worker, ...]:
    """The workers, with those of the roster that are not seen and not known to be gone: the cache may lag behind."""
    known = {worker.uid for worker in workers} | gone
    missing = [m for m in published.roster if m.uid not in known]
    return (*workers, *(Worker(m.worker, m.pod, m.uid, "Running", address=m.address) for m in missing))
