"""Jobs as a table: the CRD's columns, ages as kubectl writes them."""

from datetime import UTC, datetime, timedelta

import pytest

from pretrain_cli.cluster.table import age, aligned, column_widths, header, moment, row

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRAINING = {
    "metadata": {"name": "gpt", "namespace": "research", "creationTimestamp": "2026-01-01T09:00:00Z"},
    "spec": {"model": {"preset": "llama-125m"}, "storage": {"uri": "s3://bucket/gpt"}},
    "status": {
        "state": "Training",
        "progress": {"steps": "1200/19073", "loss": "3.1415", "throughput": "250000 tokens/s", "timeLeft": "3h12m"},
        "world": {"summary": "15/16", "generation": 7},
        "checkpoint": {"time": "2026-01-01T11:55:00Z"},
        "recovery": {"failures": 0},
    },
}


def test_a_job_in_training_shows_all_columns() -> None:
    assert row(TRAINING, wide=False, all_namespaces=False, now=NOON) == [
        "gpt", "Training", "1200/19073", "3.1415", "250000 tokens/s", "15/16", "5m", "3h12m", "3h",
    ]  # fmt: skip


def test_wide_and_all_namespaces_add_columns_at_both_ends() -> None:
    cells = dict(zip(header(True, True), row(TRAINING, True, True, NOON), strict=True))
    assert cells["NAMESPACE"] == "research"
    assert (cells["FAILURES"], cells["PRESET"], cells["STORAGE"]) == ("0", "llama-125m", "s3://bucket/gpt")


def test_what_is_not_known_yet_is_a_dash() -> None:
    new = {"metadata": {"name": "gpt", "creationTimestamp": "2026-01-01T11:59:58Z"}, "spec": {}}
    assert row(new, False, False, NOON) == ["gpt", "-", "-", "-", "-", "-", "-", "-", "2s"]


def test_the_columns_of_later_rows_stay_where_they_were() -> None:
    first = [["NAME", "STATE"], ["a", "Training"]]
    widths = column_widths(first)
    later = [["a-longer-name", "Failed"]]
    assert list(aligned(first, widths)) == ["NAME   STATE", "a      Training"]
    assert list(aligned(later, widths)) == ["a-longer-name   Failed"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (312, "5m12s"), (3599, "59m"), (7200, "120m"), (10800, "3h"),
     (25_380, "7h3m"), (170_000, "47h"), (180_000, "2d2h"), (700_000, "8d")],
)  # fmt: skip
def test_ages(seconds: int, text: str) -> None:
    assert age(NOON - timedelta(seconds=seconds), NOON) == text


@pytest.mark.parametrize("text", [None, "", "yesterday", 5])
def test_what_is_no_time_is_none(text: object) -> None:
    assert moment(text) is None


def test_control_sequences_do_nothing() -> None:
    job = {**TRAINING, "status": {"state": "x\x1b]0;owned\x07"}}
    assert row(job, False, False, NOON)[1] == r"x\x1b]0;owned\x07"
