"""From the records of a run to the content of report.json. Nothing is measured here and nothing is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pretrain_api.commits import WeightSegment
from pretrain_api.goodput import recorded
from pretrain_api.objectives import tokens_per_sample
from pretrain_api.shards import Manifest
from pretrain_api.stages import CompletionRecord, Stage, planned
from pretrain_api.types import PretrainJob
from pretrain_api.types.status import State
from pretrain_trainer.data.mixture import mixture_of
from pretrain_trainer.data.opened import AnyManifest
from pretrain_trainer.data.seen import samples_seen
from pretrain_trainer.reporting.goodput import account_of
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.reporting.types import (
    PictureReport,
    Report,
    SampleReport,
    SourceEvaluation,
    SourceReport,
    StageReport,
    TrainingReport,
)


def summarise(run: RunRecords, state: State, created: datetime) -> Report:
    """The report without the steps. `state` is the job's when the report will be read."""
    evaluation = _details(run, Stage.EVALUATE)
    training = _training(run)
    segments = commits[-1].segments if (commits := run.commits()) else ()
    account = account_of(run.job.status, created)
    return Report(
        name=run.job.metadata.name,
        state=state,
        message=_failure(run.job) if state == "Failed" else "",
        created=created,
        goodput_ratio=account.ratio if account else None,
        time=recorded(account).spent if account else [],
        stages=[_stage(run, stage) for stage in planned(run.job.spec)],
        sources=_sources(run.job, run.manifests(), training.samples, segments),
        training=training,
        evaluation={n: SourceEvaluation.model_validate(e) for n, e in evaluation.get("bySource", {}).items()},
        samples=[SampleReport.model_validate(sample) for sample in evaluation.get("samples", [])],
        pictures=pictures(run),
    )


def pictures(run: RunRecords) -> list[PictureReport]:
    """What the evaluation drew."""
    return [PictureReport.model_validate(each) for each in _details(run, Stage.EVALUATE).get("pictures", [])]


def _stage(run: RunRecords, stage: Stage) -> StageReport:
    status = next((s for s in run.job.status.stages if s.name == stage.value), None)
    record = run.records.get(stage)
    if record is None:
        return StageReport(
            name=stage.value,
            state=status.state if status else "Pending",
            started=status.start_time if status else None,
            message=status.message if status else "",
        )
    job_start = run.job.status.start_time
    return StageReport(
        name=stage.value,
        state="Complete",
        seconds=record.seconds,
        attempts=record.attempts,
        documents_in=record.flow.documents_in,
        documents_out=record.flow.documents_out,
        bytes_in=record.flow.bytes_in,
        bytes_out=record.flow.bytes_out,
        skipped=job_start is not None and record.completed < job_start,
        started=record.started,
        completed=record.completed,
        message=record.message,
        details=record.details,
    )


def _sources(
    job: PretrainJob, manifests: Mapping[str, AnyManifest], samples: int, segments: Sequence[WeightSegment]
) -> dict[str, SourceReport]:
    sources = job.spec.data.sources
    weights = sum(source.weight for source in sources)
    counts = [0] * len(sources)
    if manifests and samples:
        mixture = mixture_of(job.spec, [manifests[source.name] for source in sources], segments)
        counts = samples_seen(mixture, samples)
    reports = {}
    for source, count in zip(sources, counts, strict=True):
        manifest = manifests.get(source.name)
        reports[source.name] = SourceReport(
            license=source.license,
            planned_ratio=source.weight / weights,
            seen_ratio=count / samples if samples else 0,
            samples_seen=count,
            tokens_seen=count * tokens_per_sample(job.spec),
            epochs_seen=count / manifest.train.samples if manifest and manifest.train.samples else 0,
            train_tokens=manifest.train.tokens if isinstance(manifest, Manifest) else 0,
            validation_tokens=manifest.validation.tokens if isinstance(manifest, Manifest) else 0,
            train_samples=manifest.train.samples if manifest else 0,
            validation_samples=manifest.validation.samples if manifest else 0,
        )
    return reports


def _training(run: RunRecords) -> TrainingReport:
    details = _details(run, Stage.TRAIN)
    if details:
        known = {field.alias or name for name, field in TrainingReport.model_fields.items()}
        return TrainingReport.model_validate({name: value for name, value in details.items() if name in known})
    commits = run.commits()
    if not commits:
        return TrainingReport()
    newest = commits[-1]
    return TrainingReport(step=newest.step, samples=newest.samples, tokens=newest.tokens)


def _details(run: RunRecords, stage: Stage) -> Mapping[str, Any]:
    record: CompletionRecord | None = run.records.get(stage)
    return record.details if record else {}


def _failure(job: PretrainJob) -> str:
    """Why the job failed, in the words of its summary condition."""
    conditions: Sequence[Any] = job.status.conditions
    return next((str(condition.message) for condition in conditions if condition.type == "Succeeded"), "")
