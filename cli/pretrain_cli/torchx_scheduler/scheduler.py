"""The TorchX scheduler `pretrain`: a thin body around what the cluster commands do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import yaml
from torchx.schedulers.api import DescribeAppResponse, ListAppResponse, Scheduler, Stream, filter_regex
from torchx.specs import AppDef, AppDryRunInfo, runopts
from torchx.specs.finder import ComponentValidationException

from pretrain_api import cluster
from pretrain_api.errors import UserError
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.applying import applied
from pretrain_cli.cluster.connection import Connection, Json, connect
from pretrain_cli.cluster.followed import READERS, Followed
from pretrain_cli.cluster.log_streams import PodLog
from pretrain_cli.cluster.merging import merged
from pretrain_cli.cluster.pods import JobPod, Wanted, pod
from pretrain_cli.standard_error import say
from pretrain_cli.torchx_scheduler import answers
from pretrain_cli.torchx_scheduler.components import MANIFEST, NAMESPACE

_BACKEND = "pretrain"
Result = TypeVar("Result")


class PretrainScheduler(Scheduler[Mapping[str, Any]]):  # type: ignore[misc]  # torchx has no types
    """Submits PretrainJobs and tells of them. An application's id is NAMESPACE:NAME."""

    def __init__(self, session_name: str) -> None:
        super().__init__(_BACKEND, session_name)

    def _run_opts(self) -> runopts:
        options = runopts()
        options.add("namespace", type_=str, help="namespace of the job; default: that of the file, then of the context")
        options.add("force_conflicts", type_=bool, default=False, help="overwrite fields that others changed since")
        return options

    def _validate(self, app: AppDef, scheduler: str) -> None:
        """Sizes are in the job; TorchX's resource of a role says nothing here."""

    def _submit_dryrun(self, app: AppDef, cfg: Mapping[str, Any]) -> AppDryRunInfo[Json]:
        manifest = app.roles[0].metadata.get(MANIFEST) if app.roles else None
        if manifest is None:
            what = f"the scheduler {_BACKEND} runs PretrainJobs, and {app.name} is none."
            raise ComponentValidationException(f"{what} Write: torchx run -s pretrain pretrain.job --file job.yaml")
        own, given = app.roles[0].metadata.get(NAMESPACE, ""), cfg.get("namespace") or ""
        if own and given and own != given:
            what = f"the file names namespace {own}, -cfg namespace={given} another one."
            raise ComponentValidationException(f"{what} Write -cfg namespace={own}, or remove the line from the file.")
        place = own or given or _told(connect).namespace
        placed = {**manifest, "metadata": {**manifest["metadata"], "namespace": place}}
        return AppDryRunInfo(placed, lambda request: str(yaml.safe_dump(request, sort_keys=False)))

    def schedule(self, dryrun_info: AppDryRunInfo[Json]) -> str:
        """Make the job, or change it; gives its id."""
        manifest, options = dryrun_info.request, dryrun_info._cfg or {}
        name, place = manifest["metadata"]["name"], manifest["metadata"]["namespace"]

        def apply() -> None:
            applied(connect(namespace=place), manifest, name, False, bool(options.get("force_conflicts")))

        _told(apply)
        return f"{place}:{name}"

    def describe(self, app_id: str) -> DescribeAppResponse | None:
        """The job and its pods; None where there is no such job."""
        connection, name = _place(app_id)
        job = jobs.find(connection, name)
        return None if job is None else answers.described(app_id, job, jobs.status(job), _pods(connection, name))

    def list(self) -> list[ListAppResponse]:
        """The jobs of all namespaces, or of the context's where one may not look into all."""
        here = connect()
        try:
            found = jobs.listed(here.of(""))
        except UserError as error:
            if error.code != "forbidden":
                raise
            found = jobs.listed(here)
        return [
            ListAppResponse(
                app_id=f"{job['metadata']['namespace']}:{job['metadata']['name']}",
                state=answers.state(jobs.status(job)),
            )
            for job in found
        ]

    def _cancel_existing(self, app_id: str) -> None:
        """Suspend: a checkpoint is saved and every pod freed. `pretrain resume` goes on, `pretrain delete` forgets it."""
        connection, name = _place(app_id)
        jobs.set_suspend(connection, name, True)

    def log_iter(
        self,
        app_id: str,
        role_name: str,
        k: int = 0,
        regex: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        should_tail: bool = False,
        streams: Stream | None = None,
    ) -> Iterable[str]:
        """Lines of a stage's worker `k`, over its restarts. Raises ValueError for what a pod's log cannot tell apart."""
        if until is not None or streams not in (None, Stream.COMBINED):
            raise ValueError(
                "a pod's log has one stream and no end: leave --until out, and --streams or write combined."
            )
        connection, name = _place(app_id)
        lines = _lines(connection, name, role_name, k, since, should_tail)
        return filter_regex(regex, lines) if regex else lines


def create_scheduler(session_name: str, **_: object) -> PretrainScheduler:
    """What TorchX's entry point calls."""
    return PretrainScheduler(session_name)


def _lines(
    connection: Connection, name: str, stage: str, worker: int, since: datetime | None, should_tail: bool
) -> Iterator[str]:
    wanted = Wanted(stage=stage)

    def is_wanted(each: JobPod) -> bool:
        return wanted.has(each) and max(0, each.worker) == worker

    begun = [each for each in _pods(connection, name) if each.has_started and is_wanted(each)]
    logs = [PodLog(connection, each, None, since) for each in sorted(begun, key=lambda each: each.order)]
    for _, line in merged(logs, say):
        yield _text(line.text)
    if should_tail:
        for item in Followed(connection, name, is_wanted, logs, READERS).items():
            if isinstance(item, str):
                say(item)
            else:
                yield _text(item[1].text)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace") + "\n"


def _place(app_id: str) -> tuple[Connection, str]:
    namespace, _, name = app_id.rpartition(":")
    return connect(namespace=namespace), name


def _pods(connection: Connection, name: str) -> list[JobPod]:
    place = f"/api/v1/namespaces/{connection.namespace}/pods"
    pages = connection.pages(place, {"labelSelector": f"{cluster.LABEL_JOB}={name}"})
    return [pod(manifest) for page in pages for manifest in page["items"]]


def _told(work: Callable[[], Result]) -> Result:
    """The work's result; a user's mistake in the form that `torchx run` prints without a traceback."""
    try:
        return work()
    except UserError as error:
        raise ComponentValidationException(str(error)) from None
