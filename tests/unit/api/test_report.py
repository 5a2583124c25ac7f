"""The report as one of a job's pods writes it."""

from datetime import UTC, datetime, timedelta

from pretrain_api import goodput
from pretrain_api.recoveries import Recovery
from pretrain_api.report import Report, ReportedCheckpoint
from pretrain_api.stages import Stage


def test_a_report_survives_json() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    checkpoint = ReportedCheckpoint(step=10, uri="s3://runs/a/checkpoints/data/10", time=now)
    report = Report(stage=Stage.TRAIN, attempt=2, time=now, figures={"loss": 2.5}, checkpoint=checkpoint)
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_all_its_times_are_told_by_another_clock() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    later = now + timedelta(minutes=10)
    lost = Recovery(number=1, kind="Restart", rank=0, cause="exit -9", time=now, seconds=1, lost_steps=0, phases={})
    saved = ReportedCheckpoint(step=10, uri="s3://x", time=now)
    figures = {"loss": 2.5, goodput.SINCE: now.timestamp()}
    report = Report(stage=Stage.TRAIN, attempt=2, time=now, figures=figures, checkpoint=saved, recovery=lost)
    told = report.by_another_clock(600)
    assert told.checkpoint is not None
    assert told.recovery is not None
    assert (told.time, told.checkpoint.time, told.recovery.time) == (later, later, later)
    assert told.figures == {"loss": 2.5, goodput.SINCE: later.timestamp()}
    assert told.by_another_clock(-600) == report
    assert Report(stage=Stage.COLLECT, attempt=1, time=now).by_another_clock(600).time == later
