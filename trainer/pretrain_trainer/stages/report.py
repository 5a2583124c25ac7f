"""Report: the last stage gathers what the others recorded into report.json and a page."""

from __future__ import annotations

from datetime import UTC, datetime

from pretrain_api import layout
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.reporting import records, write


def run(context: StageContext) -> StageResult:
    """Write the report of a run that has succeeded but for this stage, which reports itself as complete."""
    started = datetime.now(UTC)
    write.write(records.of_stage(context, started), "Succeeded", started)
    return StageResult(message=context.storage.uri(layout.REPORT_HTML))
