"""Texts of others in a terminal: they steer nothing."""

from datetime import UTC, datetime

from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster import jobs
from pretrain_cli.display.printable import escaped, printable

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TITLE = "x\x1b]0;owned\x07"
SHOWN = r"x\x1b]0;owned\x07"


def test_all_but_tabulator_and_line_feed_is_escaped() -> None:
    assert escaped("a\tb\nc é 漢") == "a\tb\nc é 漢"
    assert escaped("\x00\r\x7f\x9b31m") == r"\x00\x0d\x7f\x9b31m"


def test_every_text_of_a_status_is_escaped_and_the_rest_stays() -> None:
    failure = {"stage": "Train", "kind": TITLE, "message": f"one\n{TITLE}", "time": NOON.isoformat()}
    status = {"state": "Training", "recovery": {"failures": 1, "lastFailure": failure}, "world": {"lost": [TITLE]},
              "stages": [{"name": "Train", "message": TITLE}], "progress": {"step": 3}}  # fmt: skip
    found = printable(PretrainJobStatus.model_validate(status))
    assert found.recovery.last_failure is not None
    assert (found.recovery.last_failure.kind, found.recovery.last_failure.message) == (SHOWN, f"one\n{SHOWN}")
    assert (found.world.lost, found.stages[0].message) == ([SHOWN], SHOWN)
    assert (found.recovery.last_failure.time, found.progress.step) == (NOON, 3)


def test_a_status_from_a_cluster_is_printable() -> None:
    assert jobs.status({"status": {"progress": {"loss": TITLE}}}).progress.loss == SHOWN
