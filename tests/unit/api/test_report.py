"""The report as one of a job's pods writes it."""

from datetime import UTC, datetime

from pretrain_api.report import Report, ReportedCheckpoint
from pretrain_api.stages import Stage


def test_a_report_survives_json() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    checkpoint = ReportedCheckpoint(step=10, uri="s3://runs/a/checkpoints/data/10", time=now)
    report = Report(stage=Stage.TRAIN, attempt=2, time=now, figures={"loss": 2.5}, checkpoint=checkpoint)
    assert Report.model_validate_json(report.model_dump_json()) == report
