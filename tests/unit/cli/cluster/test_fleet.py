"""Jobs beside each other: rows, their order and their sum."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster.fleet import SORT_KEYS, Row, document, ordered, row, row_of, summary
from pretrain_cli.commands.top import _KEYS
from pretrain_cli.display.fleet_table import screen, table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CREATED = "2026-01-01T09:00:00+00:00"


def a_row(name: str, created: str = CREATED, **status: Any) -> Row:
    job = {"metadata": {"namespace": "research", "name": name, "creationTimestamp": created}}
    return row(job, PretrainJobStatus.model_validate(status), NOON)


def training(name: str, step: int, speed: int, left: timedelta, **status: Any) -> Row:
    progress = {"step": step, "totalSteps": 100, "tokensPerSecond": speed, "loss": "2.5"}
    progress["estimatedCompletionTime"] = (NOON + left).isoformat()
    return a_row(name, state="Training", progress=progress, world={"workers": 4, "ready": 3}, **status)


def printed(*rows: Row, width: int = 200) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table(rows, all_namespaces=True))
    return capture.get()


class TestRow:
    def test_of_training_has_steps_speed_and_time_left(self) -> None:
        found = training("gpt", 25, 1200, timedelta(minutes=5), goodputRatio="0.95")
        assert (found.done_ratio, found.progress, found.tokens_per_second) == (0.25, "25/100", 1200)
        assert (found.seconds_left, found.goodput_ratio, found.ready, found.workers) == (300, 0.95, 3, 4)

    def test_before_training_counts_stages(self) -> None:
        stages = [{"name": "Collect", "state": "Complete"}, {"name": "Prepare", "state": "Running"}]
        found = a_row("gpt", state="Preparing", stages=stages)
        assert (found.progress, found.done_ratio, found.seconds_left) == ("1/2 stages", 0.0, None)

    def test_after_training_is_done(self) -> None:
        found = a_row("gpt", state="Exporting", stages=[{"name": "Train", "state": "Complete"}])
        assert found.done_ratio == 1.0

    def test_of_a_job_whose_status_nobody_can_read_says_so(self) -> None:
        metadata = {"namespace": "research", "name": "odd", "creationTimestamp": CREATED}
        found = row_of({"metadata": metadata, "status": {"progress": {"step": "many"}}}, NOON)
        assert (found.state, found.age_seconds) == ("Unreadable", 3 * 3600)
        assert found.last_incident == "status.progress.step is of a form that this version does not know."

    def test_a_new_job_has_nothing(self) -> None:
        found = a_row("gpt")
        assert (found.progress, found.loss, found.incidents, found.last_incident) == ("", "", 0, "")

    def test_tells_the_newest_of_failure_and_recovery(self) -> None:
        failure = {"stage": "Train", "kind": "OutOfMemory", "node": "a17", "time": "2026-01-01T11:58:00+00:00"}
        recovery = {"kind": "Restart", "seconds": "0.4", "time": "2026-01-01T11:00:00+00:00"}
        both = {"failures": 2, "disruptions": 1, "lastFailure": failure, "lastRecovery": recovery}
        found = a_row("gpt", recovery=both)
        assert (found.incidents, found.last_incident) == (3, "Train OutOfMemory on a17, 2m ago")
        newer = {**recovery, "time": "2026-01-01T11:59:30+00:00"}
        assert a_row("gpt", recovery={**both, "lastRecovery": newer}).last_incident == "Restart, 0.4 s, 30s ago"


class TestStrangeStatuses:
    """What another operator, or a person with kubectl, wrote into a status breaks no table."""

    STRANGE = (
        a_row("words", goodputRatio="abc", progress={"samplesPerSecond": "abc", "loss": "[/bold]x"}),
        a_row("infinite", goodputRatio="nan", progress={"samplesPerSecond": "inf", "loss": "[red]"}),
        training("whole", 50, 9000, timedelta(hours=2), goodputRatio="0.99"),
    )

    def test_texts_are_shown_as_they_are(self) -> None:
        text = printed(*self.STRANGE)
        assert "[/bold]x" in text
        assert "[red]" in text
        assert "99.0 %" in text

    def test_the_document_is_json(self) -> None:
        text = json.dumps(document(ordered(self.STRANGE, "goodput", reverse=False)), allow_nan=False)
        assert [job["goodputRatio"] for job in json.loads(text)["jobs"]] == [0.99, None, None]


class TestOrder:
    ROWS = (
        training("fast", 50, 9000, timedelta(hours=2), goodputRatio="0.99"),
        training("slow", 90, 10, timedelta(hours=1), goodputRatio="0.5"),
        a_row("stuck", state="Stalled", recovery={"failures": 4}),
        a_row("done", state="Succeeded", created="2026-01-01T11:00:00+00:00"),
    )

    @pytest.mark.parametrize(
        ("key", "names"),
        [
            ("name", "done fast slow stuck"),
            ("state", "stuck fast slow done"),
            ("progress", "slow fast done stuck"),
            ("tokens", "fast slow done stuck"),
            ("goodput", "slow fast done stuck"),
            ("eta", "slow fast done stuck"),
            ("incidents", "stuck done fast slow"),
            ("age", "done fast slow stuck"),
        ],
    )
    def test_by_each_key(self, key: str, names: str) -> None:
        assert [found.name for found in ordered(self.ROWS, key, reverse=False)] == names.split()

    def test_the_other_way_round(self) -> None:
        assert ordered(self.ROWS, "tokens", reverse=True)[-1].name == "fast"

    def test_every_key_is_an_option_and_has_a_letter_of_its_own(self) -> None:
        assert tuple(SORT_KEYS) == _KEYS
        assert len({*"rq", *(name[0] for name in SORT_KEYS)}) == len(SORT_KEYS) + 2


class TestShown:
    def test_the_sum_counts_states_workers_and_tokens(self) -> None:
        text = summary([*TestOrder.ROWS])
        assert text == "4 jobs (2 Training, 1 Stalled, 1 Succeeded), 6 of 8 workers, 9,010 tokens/s".replace(",0", "0")

    def test_a_row_has_all_that_is_known(self) -> None:
        text = printed(training("gpt", 25, 1200, timedelta(minutes=5), goodputRatio="0.95"))
        (line,) = text.splitlines()[1:]
        for cell in ("research", "gpt", "Training", "25/100", "2.5", "1200", "3/4", "95.0 %", "5:00"):
            assert cell in line

    def test_a_job_that_learns_from_images_is_told_in_images(self) -> None:
        progress = {"step": 5, "totalSteps": 10, "samples": 640, "samplesPerSecond": "412.4000"}
        found = a_row("mae", state="Training", progress=progress)
        assert "412 images/s" in printed(found)
        assert summary([found, *TestOrder.ROWS]).endswith("tokens/s, 412 images/s")

    def test_what_does_not_fit_is_counted(self) -> None:
        rows = [a_row(f"job-{number:02}") for number in range(20)]
        console = Console(width=160, color_system=None)
        for height, note in itertools.product((10, 24, 100), ("", "asking")):
            with console.capture() as capture:
                console.print(screen(rows, False, "name", False, height, note))
            text = capture.get()
            shown = sum(name in text for name in (found.name for found in rows))
            assert len(text.splitlines()) <= height
            assert shown == 20 or f"and {20 - shown} more" in text

    def test_fits_a_narrow_terminal(self) -> None:
        rows = [training("a-job-with-a-very-long-name-indeed", 25, 1200, timedelta(minutes=5))]
        assert max(map(len, printed(*rows, width=100).splitlines())) <= 100


class TestForms:
    def test_for_programs_rows_have_the_names_of_the_api_and_plain_values(self) -> None:
        found = document([training("gpt", 25, 1200, timedelta(minutes=5)), a_row("bert")])
        assert json.loads(json.dumps(found)) == found
        gpt, bert = found["jobs"]
        assert (gpt["name"], gpt["state"], gpt["doneRatio"], gpt["tokensPerSecond"]) == ("gpt", "Training", 0.25, 1200)
        assert (gpt["secondsLeft"], bert["secondsLeft"], bert["goodputRatio"]) == (300, None, None)
        assert found["summary"].startswith("2 jobs")

    def test_wide_has_the_age_and_the_last_incident_in_full(self) -> None:
        failure = {"kind": "Exit", "stage": "Train", "node": "a-very-long-name-of-a-node", "time": CREATED}
        rows = [a_row("gpt", state="Training", recovery={"failures": 1, "lastFailure": failure})]
        console = Console(width=110, color_system=None)
        with console.capture() as capture:
            console.print(table(rows, all_namespaces=False, wide=True))
        assert "AGE" in capture.get()
        assert "…" not in capture.get()
