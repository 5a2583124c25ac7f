"""A real Prometheus scrapes a real run: what it has of it is what the run's ledger says."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support import monitoring
from support.cluster import programs
from support.cluster.prometheus import Prometheus
from support.eventually import eventually
from support.jobs import a_job
from support.local_runs import LocalRun

from pretrain_api.step_history import read_steps
from pretrain_api.storage import Storage
from pretrain_trainer.metrics import declared
from pretrain_trainer.reporting.records import find

pytestmark = pytest.mark.slow
STEPS = 2500
EMPTY_HERE = {
    # The peak of a processor is not known.
    "Pretrain / Fleet / MFU", "Pretrain / Job / MFU",
    # Its roster and its failures do not change, and it is too short for a checkpoint.
    "Pretrain / Job / mark Generation", "Pretrain / Job / mark Failure", "Pretrain / Job / mark Checkpoint",
    # Only an operator sees failures by kind and recoveries of all jobs.
    "Pretrain / Recovery / Failures by kind", "Pretrain / Recovery / How long recoveries take",
    "Pretrain / Recovery / Phases of a recovery",
    # Nothing is read from a store.
    "Pretrain / Data / Hedges",
    # What these rules watch for has not happened, or there is no operator.
    'PretrainJobStalled watches pretrain_job_condition{type="Stalled"}',
    'PretrainJobFailed watches pretrain_job_state{state="Failed"}',
    'PretrainJobRecovering watches pretrain_job_state{state="Recovering"}',
    'PretrainJobPending watches pretrain_job_state{state=~"Pending|Queued|Starting"}',
    "PretrainOperatorDown watches pretrain_operator_leading",
    "PretrainOperatorWatchStale watches pretrain_operator_leading",
    "PretrainOperatorWatchStale watches pretrain_operator_watch_silence_seconds",
    "PretrainOperatorDefect watches pretrain_operator_errors_total",
    # It has not worked for half an hour.
    "PretrainJobGoodputLow watches namespace_pretrainjob:pretrain_job_goodput:ratio_1h",
    # While it trains nothing is idle.
    'namespace_pretrainjob:pretrain_job_idle:timestamp watches pretrain_job_state{state!~"Training|Recovering|Succeeded|Failed"}',
    'namespace_pretrainjob:pretrain_job_idle:timestamp watches pretrain_job_state{state="Recovering"}',
    "PretrainJobCheckpointOld watches namespace_pretrainjob:pretrain_job_idle:timestamp",
}  # fmt: skip
"""Panels and selectors of rules that are to be empty in a run like this one."""
ONLY_ON_AN_ACCELERATOR = {declared.MFU.name}


class Scraped:
    """The run, what it served while it trained, and the Prometheus that asked it."""

    def __init__(self, folder: Path) -> None:
        job = a_job().stored_in(folder / "run").with_steps(STEPS, processes=2)
        self.run = LocalRun(folder, job.with_spec(recovery={"hangTimeoutSeconds": 2}), "--metrics-port=0")
        self.prometheus = Prometheus(folder / "prometheus")
        self.prometheus.start(monitoring.RULES)
        self.answers: dict[str, int] = {}
        """How many series each question of the dashboards and rules had while the run trained."""
        self.hanging: dict[str, str] = {}
        """Labels of the alert that fired for a frozen rank."""

    def train(self) -> None:
        self.run.until("Training")
        found = re.search(r"metrics: (http://127.0.0.1:(\d+)/metrics)", self.run.output)
        assert found, self.run.output
        self.url, port = found.groups()
        self.prometheus.scrape("run", f"127.0.0.1:{port}")
        eventually(lambda: self.value("pretrain_train_steps_total") > 200, within_seconds=60)
        with urllib.request.urlopen(self.url, timeout=10) as response:
            self.text = response.read().decode()
        # A killed rank takes nothing of what was counted with it.
        self.run.ranks()[1].kill()
        eventually(lambda: self.value('pretrain_train_breaks_total{reason="killed"}') == 1, within_seconds=60)
        eventually(lambda: self.value("pretrain_job_restarts_total") == 1, within_seconds=60)
        self.run.ranks()[1].suspend()
        fired = 'ALERTS{alertname="PretrainJobHanging",alertstate="firing"}'
        self.hanging = eventually(lambda: self.prometheus.query(fired), within_seconds=60)[0]["metric"]
        eventually(lambda: self.value("pretrain_train_steps_total") > 600, within_seconds=60)
        boards = [board for name, board in monitoring.BOARDS.items() if name != "operator"]
        asked = [question for board in boards for question in monitoring.asked(board)]
        watched = [question for rule in monitoring.rules() for question in monitoring.watched(rule)]
        for who, expression in (*asked, *watched):
            self.answers[who] = self.answers.get(who, 0) + len(self.prometheus.query(expression))
        assert self.run.exit_code(within_seconds=300) == 0, self.run.output[-3000:]

    def value(self, expression: str) -> float:
        """0 where there is no series."""
        found = self.prometheus.query(f"sum({expression})")
        return float(found[0]["value"][1]) if found else 0.0


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = Scraped(tmp_path_factory.mktemp("metrics"))
    try:
        found.train()
        yield found
    finally:
        found.run.process.kill()
        found.prometheus.stop()


@pytest.fixture(scope="module")
def steps(scraped: Scraped) -> list[dict[str, Any]]:
    run = find(Storage(str(scraped.run.storage)))
    return list(read_steps(run.storage, run.commits()))


def test_promtool_finds_nothing_to_say(scraped: Scraped) -> None:
    done = subprocess.run(
        [programs.find("promtool"), "check", "metrics"], input=scraped.text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_metric_of_training_that_a_processor_can_have_is_served(scraped: Scraped) -> None:
    served = set(re.findall(r"^(pretrain_train_\w+?)(?:_bucket|_sum|_count)?\{", scraped.text, re.MULTILINE))
    assert {metric.name for metric in declared.METRICS} - served <= ONLY_ON_AN_ACCELERATOR


def test_steps_and_tokens_are_those_of_the_ledger(scraped: Scraped, steps: list[dict[str, Any]]) -> None:
    """Up to the last scrape of training, whose moment the counter of steps tells."""
    done = int(scraped.value("max_over_time(pretrain_train_steps_total[10m])"))
    again = sum(each["lost_steps"] for step in steps for each in step.get("recoveries", []))
    assert 0.5 * STEPS < done <= STEPS + again
    tokens = scraped.value("max_over_time(pretrain_train_tokens_total[10m])")
    assert tokens == done * 4 * 64


def test_the_loss_of_a_scrape_is_that_of_a_step(scraped: Scraped, steps: list[dict[str, Any]]) -> None:
    losses = {round(step["loss"], 9) for step in steps}
    found = re.search(r"^pretrain_train_loss\{.*\} (\S+)$", scraped.text, re.MULTILINE)
    assert found
    assert round(float(found[1]), 9) in losses


def test_phases_make_up_most_of_a_step_and_not_more(scraped: Scraped) -> None:
    phases = scraped.value("max_over_time(pretrain_train_step_phase_seconds_sum[10m])")
    assert 0.5 < phases / scraped.value("max_over_time(pretrain_train_step_seconds_sum[10m])") < 1.01


def test_every_panel_and_rule_sees_something_but_those_that_need_what_this_run_lacks(scraped: Scraped) -> None:
    assert {who for who, series in scraped.answers.items() if not series} == EMPTY_HERE


def test_an_alert_fires_for_the_rank_that_was_frozen(scraped: Scraped) -> None:
    assert scraped.hanging["severity"] == "warning"
    assert (scraped.hanging["namespace"], scraped.hanging["pretrainjob"]) == ("default", "test")


def test_a_scrape_of_one_job_is_small(scraped: Scraped) -> None:
    """What docs/reference/metrics.md states."""
    lines = [line for line in scraped.text.splitlines() if not line.startswith("#")]
    of_job = sum(line.startswith("pretrain_job_") for line in lines)
    of_training = sum(line.startswith("pretrain_train_") for line in lines)
    assert of_job <= 45
    assert of_training <= 220


def test_the_series_are_gone_when_the_run_is(scraped: Scraped) -> None:
    eventually(lambda: not scraped.prometheus.query('{__name__=~"pretrain_.+"}'), within_seconds=60)
    assert json.loads((scraped.run.storage / "status.json").read_text())["status"]["state"] == "Succeeded"
