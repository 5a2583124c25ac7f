"""What a run left in its storage, as far as it came: the job, its status and the records of its stages.

Only reads. Nothing here needs a run that succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pretrain_api import layout, records
from pretrain_api.commits import Commit
from pretrain_api.errors import UserError
from pretrain_api.stages import CompletionRecord, Stage, upstream_of
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.context import StageContext
from pretrain_trainer.data import opened
from pretrain_trainer.data.opened import AnyManifest
from pretrain_trainer.training.commit_log import read_log


@dataclass(frozen=True)
class RunRecords:
    """The job with its last recorded status, and the records of the stages that are complete."""

    storage: Storage
    job: PretrainJob
    records: Mapping[Stage, CompletionRecord]

    def manifests(self) -> Mapping[str, AnyManifest]:
        """Manifests of the encoded sources, by name; empty before Encode is complete."""
        if Stage.ENCODE not in self.records:
            return {}
        fingerprint = self.records[Stage.ENCODE].fingerprint
        manifests = opened.read(self.storage, self.job.spec, fingerprint)
        return {manifest.source: manifest for _, manifest in manifests}

    def commits(self) -> list[Commit]:
        """Checkpoints of this training in the log's order. Of an unfinished one, those of the newest identity."""
        log = read_log(self.storage)
        if Stage.TRAIN in self.records:
            fingerprint = self.records[Stage.TRAIN].fingerprint
        else:
            fingerprint = log[-1].fingerprint if log else ""
        return [commit for commit in log if commit.fingerprint == fingerprint]


def status_of(storage: Storage) -> PretrainJob | None:
    """The job with its status as the body last wrote it; None where no body has."""
    if not storage.exists(layout.STATUS):
        return None
    return PretrainJob.model_validate(storage.read_json(layout.STATUS))


def before_export(context: StageContext) -> RunRecords:
    """The run as Export sees it. Status and Report are left out: they differ between runs of the same job."""
    found = {stage: context.record(stage) for stage in upstream_of(Stage.EXPORT, context.spec)}
    if prepared := found.get(Stage.PREPARE):
        found[Stage.COLLECT] = records.read(context.storage, Stage.COLLECT, prepared.upstream[Stage.COLLECT])
    return RunRecords(context.storage, context.job, found)


def of_stage(context: StageContext, started: datetime) -> RunRecords:
    """The run as its last stage sees it: everything upstream is complete, and Report will be once it has written.

    Report's own record counts the seconds from `started` until now.
    """
    now = datetime.now(UTC)
    report = CompletionRecord(
        stage=Stage.REPORT,
        fingerprint=context.fingerprint,
        upstream=dict(context.upstream),
        started=started,
        completed=now,
        seconds=round((now - started).total_seconds(), 3),
        message=context.storage.uri(layout.REPORT_HTML),
    )
    recorded = status_of(context.storage)
    job = context.job.model_copy(update={"status": recorded.status}) if recorded else context.job
    upstream = {stage: context.record(stage) for stage in upstream_of(Stage.REPORT, context.spec)}
    return RunRecords(context.storage, job, {**upstream, Stage.REPORT: report})


def find(storage: Storage, job: PretrainJob | None = None) -> RunRecords:
    """The run in a storage, complete or not. `job`: it with its status, where that is not in the storage, as in a cluster.
    Raises UserError where there is none."""
    job = job or status_of(storage)
    if job is None:
        raise UserError(
            "no-run",
            storage.uri(),
            "no job has run here.",
            "Give the spec.storage.uri of a run.",
        )
    found = {}
    for stage in job.status.stages:
        if stage.name not in set(Stage):  # only another version knows it
            continue
        path = layout.record(Stage(stage.name), stage.fingerprint)
        if stage.fingerprint and storage.exists(path):
            found[Stage(stage.name)] = records.read(storage, Stage(stage.name), stage.fingerprint)
    return RunRecords(storage, job, found)
