"""Reports: the newest figures, soon after a checkpoint, at the end, and never a failure of the stage."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.eventually import eventually

from pretrain_api.events import ProgressEvent, ReportedCheckpoint
from pretrain_api.recoveries import Recovery
from pretrain_api.report import Report
from pretrain_api.silence import Silence
from pretrain_api.stages import Stage
from pretrain_trainer.pod import reports
from pretrain_trainer.pod.api_server import Refused
from pretrain_trainer.pod.reports import Reporter

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Receiver:
    """Takes reports, or refuses them."""

    def __init__(self, refusals: int = 0) -> None:
        self.reports: list[Report] = []
        self.silences: list[Silence] = []
        self.refusals = refusals

    def __call__(self, report: Report) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Refused(503, "away")
        self.reports.append(report)

    def hear(self, silence: Silence) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("no route")
        self.silences.append(silence)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(reports, "_SECONDS_BETWEEN_TRIES", 0.02)


def write(path: Path, step: int, checkpoint: int = 0) -> None:
    saved = ReportedCheckpoint(step=checkpoint, uri="s3://x", time=NOON) if checkpoint else None
    event = ProgressEvent(time=NOON.timestamp(), stage="Train", phase="step", done=step, checkpoint=saved)
    with path.open("a") as file:
        file.write(event.model_dump_json() + "\n")


def a_reporter(path: Path, receiver: Receiver) -> Reporter:
    reporter = Reporter(path, Stage.TRAIN, 3, receiver, receiver.hear)
    reporter.start()
    return reporter


def test_the_first_figures_go_at_once_and_the_last_at_the_end(tmp_path: Path) -> None:
    path, receiver = tmp_path / "events", Receiver()
    reporter = a_reporter(path, receiver)
    write(path, 1)
    eventually(lambda: len(receiver.reports) == 1)
    write(path, 2)
    write(path, 3)
    reporter.end(5)
    assert [report.done for report in receiver.reports] == [1, 3]
    assert (receiver.reports[0].attempt, receiver.reports[0].time) == (3, NOON)


def test_a_checkpoint_is_told_at_once_and_stays_in_later_reports(tmp_path: Path) -> None:
    path, receiver = tmp_path / "events", Receiver()
    reporter = a_reporter(path, receiver)
    write(path, 1)
    eventually(lambda: len(receiver.reports) == 1)
    write(path, 2, checkpoint=1)
    eventually(lambda: len(receiver.reports) == 2)
    write(path, 3)
    reporter.end(5)
    assert [report.checkpoint and report.checkpoint.step for report in receiver.reports] == [None, 1, 1]


def test_an_api_server_that_is_away_costs_reports_and_nothing_else(tmp_path: Path) -> None:
    path, receiver = tmp_path / "events", Receiver(refusals=1)
    reporter = a_reporter(path, receiver)
    write(path, 1)
    eventually(lambda: receiver.refusals == 0)
    write(path, 2)
    reporter.end(5)
    assert [report.done for report in receiver.reports] == [2]


def test_nothing_is_sent_where_nothing_was_told(tmp_path: Path) -> None:
    receiver = Receiver()
    a_reporter(tmp_path / "events", receiver).end(5)
    assert receiver.reports == []


def a_recovery(number: int) -> Recovery:
    return Recovery(
        number=number, kind="Shrink", rank=-1, worker="a-w0", cause="lost", time=NOON, seconds=1.5, lost_steps=0, phases={"stop": 1.5}
    )  # fmt: skip


def test_a_recovery_is_told_at_once_also_by_a_leader_that_has_no_figures_yet(tmp_path: Path) -> None:
    path, receiver = tmp_path / "events", Receiver()
    reporter = a_reporter(path, receiver)
    for number in (1, 2):
        event = ProgressEvent(time=NOON.timestamp(), stage="Train", phase="step", recovery=a_recovery(number))
        with path.open("a") as file:
            file.write(event.model_dump_json() + "\n")
        eventually(
            lambda n=number: [r.recovery.number for r in receiver.reports if r.recovery] == list(range(1, n + 1))
        )
    write(path, 7)
    reporter.end(5)
    assert [(report.done, report.figures) for report in receiver.reports[:2]] == [(0, {}), (0, {})]
    last = receiver.reports[-1]
    assert (last.done, last.recovery) == (7, a_recovery(2))


def test_silence_is_told_until_it_is_heard_and_takes_the_place_of_no_figures(tmp_path: Path) -> None:
    path, receiver = tmp_path / "events", Receiver()
    reporter = a_reporter(path, receiver)
    write(path, 1)
    eventually(lambda: len(receiver.reports) == 1)
    receiver.refusals = 2
    silence = Silence(generation=4, workers=("tiny-w1",), why="they do not answer tiny-w0")
    with path.open("a") as file:
        event = ProgressEvent(time=NOON.timestamp(), stage="Train", phase="step", silence=silence)
        file.write(event.model_dump_json() + "\n")
    eventually(lambda: receiver.silences)
    reporter.end(5)
    assert receiver.silences == [silence]
    assert [report.done for report in receiver.reports] == [1]
