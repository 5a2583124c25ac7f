"""Events and what the status knows, in order of time."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster.timeline import event, lines, merged

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(minutes: int) -> str:
    return (NOON + timedelta(minutes=minutes)).isoformat()


def an_event(minutes: int, reason: str, kind: str = "PretrainJob", name: str = "gpt", **more: Any) -> Any:
    about = {"kind": kind, "name": name}
    found = event({"metadata": {}, "involvedObject": about, "lastTimestamp": at(minutes), "reason": reason, **more})
    assert found is not None
    return found


STATUS = PretrainJobStatus.model_validate(
    {
        "state": "Training",
        "stages": [
            {"name": "Collect", "state": "Complete", "startTime": at(0), "completionTime": at(1), "message": "5 documents"},
            {"name": "Train", "state": "Running", "startTime": at(2)},
        ],
        "checkpoint": {"step": 40, "uri": "s3://bucket/c", "time": at(30)},
        "recovery": {
            "lastFailure": {"stage": "Train", "kind": "Exit", "message": "first\nlast", "time": at(10)},
            "lastRecovery": {"kind": "Restart", "rank": 1, "cause": "exit -9", "seconds": "0.4", "time": at(20)},
        },
        "conditions": [{"type": "Running", "status": "True", "reason": "StageRunning", "lastTransitionTime": at(3)}],
    }
)  # fmt: skip


def reasons(*events: Any) -> list[str]:
    return [found.reason for found in merged(STATUS, events)]


def test_when_all_events_are_forgotten_the_status_tells_the_story() -> None:
    assert reasons() == [
        "CollectStarted",
        "CollectComplete",
        "TrainStarted",
        "Running=True",
        "Failure",
        "Restart",
        "Checkpoint",
    ]


def test_events_of_the_job_take_over_where_they_begin() -> None:
    assert reasons(an_event(5, "StageStarted"), an_event(31, "CheckpointCommitted")) == [
        "CollectStarted", "CollectComplete", "TrainStarted", "Running=True", "StageStarted", "CheckpointCommitted",
    ]  # fmt: skip


def test_events_of_pods_alone_hide_nothing() -> None:
    assert reasons(an_event(1, "Scheduled", kind="Pod", name="gpt-w0-1")).count("Failure") == 1


def test_a_repeated_event_begins_at_its_first_time() -> None:
    assert reasons(an_event(31, "Waits", firstTimestamp=at(-1), count=9)) == ["Waits"]


def test_a_failure_is_marked_and_ends_in_its_last_line() -> None:
    (line,) = [line for line in lines(STATUS, [], NOON + timedelta(hours=1)) if "Failure" in line]
    assert line.split() == ["50m", "!", "Failure", "job", "Train", "Exit:", "last"]


def test_a_job_without_a_past_has_no_timeline() -> None:
    assert list(lines(PretrainJobStatus(), [], NOON)) == []
