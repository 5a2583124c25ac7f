"""Each alert, by Prometheus' own test of rules: what makes it fire, and what is near and must leave it quiet."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster import programs

from pretrain_operator.metrics import declared as operator
from pretrain_trainer.metrics import declared as trainer

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "manifests" / "monitoring" / "rules.yaml"
FOUND = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in FOUND if "alert" in rule}
RECORDED = {rule["record"] for rule in FOUND if "record" in rule}

Series = dict[str, str]
"""Values a minute, in the notation of promtool, by series; labels of the job are added."""


def during(first: int, last: int, state: str) -> Series:
    """A job in a state from one minute to another."""
    before = f"_x{first} " if first else ""
    return {f'pretrain_job_state{{state="{state}"}}': f"{before}1x{last - first - 1} _x300"}


def paused(state: str, until: int) -> Series:
    """A job that trains from a minute on, and had its last checkpoint at the beginning."""
    return {
        **during(0, until, state),
        **during(until, until + 300, "Training"),
        "pretrain_job_checkpoint_interval_seconds": "1800x1000",
        "pretrain_job_checkpoint_age_seconds": "0+60x1000",
    }


FAILED = 'pretrain_job_state{state="Failed"}'

TRAINING = {'pretrain_job_state{state="Training"}': "1x180"}
GREEN = {'pretrain_operator_leading{namespace="green"}': "1x2000"}
OLD = {'pretrain_job_time_seconds{activity="Productive"}': "36000+60x180"}

CASES: dict[str, tuple[Series, Series]] = {
    "PretrainJobStalled": (
        {'pretrain_job_condition{type="Stalled"}': "1x180"},
        {'pretrain_job_condition{type="Running"}': "1x180"},
    ),
    "PretrainJobNoProgress": (
        {**TRAINING, "pretrain_job_progress_age_seconds": "0+60x180"},
        {**TRAINING, "pretrain_job_progress_age_seconds": "30x180"},
    ),
    "PretrainJobHanging": (
        {'pretrain_train_breaks_total{reason="hang"}': "0x150 1x30"},
        {'pretrain_train_breaks_total{reason="killed"}': "0x150 1x30", 'pretrain_train_breaks_total{reason="hang"}': "2x180"},
    ),
    "PretrainJobStraggling": (
        {"pretrain_train_slowest_rank_ratio": "1.5x180"},
        {"pretrain_train_slowest_rank_ratio": "1x170 3x4 1x6"},
    ),
    "PretrainJobLossDiverging": (
        {**OLD, "pretrain_job_loss": "2x100 4x80"},
        # One falls; the other was made anew two hours ago under the name of one whose loss was small.
        {**OLD, "pretrain_job_loss": "8x60 4x60 3x60",
         'pretrain_job_loss{pretrainjob="anew"}': "2x50 _x9 10.8-0.05x120",
         'pretrain_job_time_seconds{activity="Productive",pretrainjob="anew"}': "36000+60x50 _x9 0+60x120"},
    ),
    "PretrainJobLossNotFinite": (
        {"pretrain_train_skipped_steps_total": "0x170 0+2x10"},
        {"pretrain_train_skipped_steps_total": "0x170 1x10"},
    ),
    "PretrainJobGoodputLow": (
        {'pretrain_job_time_seconds{activity="Productive"}': "0+30x180",
         'pretrain_job_time_seconds{activity="Recovery"}': "0+30x180"},
        # Half of the time is that of other stages, half of another's that of a queue; and a job that works for ten minutes is too young to be judged.
        {'pretrain_job_time_seconds{activity="Productive"}': "0+30x180",
         'pretrain_job_time_seconds{activity="OtherStages"}': "0+30x180",
         'pretrain_job_time_seconds{activity="Productive",pretrainjob="queued"}': "0+30x180",
         'pretrain_job_time_seconds{activity="Queued",pretrainjob="queued"}': "0+30x180",
         'pretrain_job_time_seconds{activity="Starting",pretrainjob="young"}': "0x170 0+60x10"},
    ),
    "PretrainJobCheckpointOld": (
        {**TRAINING, "pretrain_job_checkpoint_interval_seconds": "300x180",
         "pretrain_job_checkpoint_age_seconds": "0+60x180"},
        # A job whose interval is long, and one that is suspended.
        {**TRAINING, "pretrain_job_checkpoint_interval_seconds": "3600x180",
         "pretrain_job_checkpoint_age_seconds": "0+60x180",
         'pretrain_job_checkpoint_interval_seconds{pretrainjob="idle"}': "300x180",
         'pretrain_job_checkpoint_age_seconds{pretrainjob="idle"}': "0+60x180"},
    ),
    "PretrainJobRecovering": (
        {'pretrain_job_state{state="Recovering"}': "_x160 1x20"},
        # One has recovered for five minutes, the other trained in between.
        {'pretrain_job_state{state="Recovering"}': "_x170 1x10",
         'pretrain_job_state{state="Recovering",pretrainjob="other"}': "_x160 1x7 stale 1x10"},
    ),
    "PretrainJobRecoveryLoop": (
        {"pretrain_job_restarts_total": "0x150 0+1x30", "pretrain_job_failures_total": "0x180",
         "pretrain_job_disruptions_total": "0x180"},
        {"pretrain_job_restarts_total": "0x150 0+0.1x30", "pretrain_job_failures_total": "0x180",
         "pretrain_job_disruptions_total": "0x180"},
    ),
    "PretrainJobBudgetNearlyUsed": (
        {"pretrain_job_failures_in_window": "7x180", "pretrain_job_failures_allowed": "10x180"},
        {"pretrain_job_failures_in_window": "6x180", "pretrain_job_failures_allowed": "10x180"},
    ),
    "PretrainJobFailed": (
        {'pretrain_job_state{state="Failed"}': "_x150 1x30"},
        {'pretrain_job_state{state="Failed"}': "1x180"},
    ),
    "PretrainJobDataStarved": ({"pretrain_job_data_wait_ratio": "0.3x180"}, {"pretrain_job_data_wait_ratio": "0.05x180"}),
    "PretrainJobQuarantineGrowing": (
        {"pretrain_train_stand_in_samples_total": "0x150 8x30"},
        {"pretrain_train_stand_in_samples_total": "8x180"},
    ),
    "PretrainJobPending": (
        {'pretrain_job_state{state="Queued"}': "1x180"},
        {'pretrain_job_state{state="Queued"}': "_x150 1x30", 'pretrain_job_state{state="Suspended"}': "1x150"},
    ),
    "PretrainJobStorageErrors": (
        {"pretrain_train_data_faults_total": "0+5x180"},
        {"pretrain_train_data_faults_total": "0+1x180"},
    ),
    "PretrainOperatorDown": (
        {"pretrain_operator_leading": "1x160 0x20"},
        {'pretrain_operator_leading{pod="a"}': "0x180", 'pretrain_operator_leading{pod="b"}': "1x180"},
    ),
    "PretrainOperatorWatchStale": (
        {"pretrain_operator_watch_silence_seconds": "0+60x180", "pretrain_operator_leading": "1x180"},
        # One that does not lead watches nothing.
        {"pretrain_operator_watch_silence_seconds": "0+60x180", "pretrain_operator_leading": "0x180"},
    ),
    "PretrainOperatorDefect": (
        {"pretrain_operator_errors_total": "0x170 1x10"},
        {"pretrain_operator_errors_total": "1x180"},
    ),
}  # fmt: skip

ANOTHER_OPERATOR: dict[str, tuple[Series, bool]] = {
    # What the one before had counted, measured or held for some time, is not forgotten.
    "PretrainJobRecoveryLoop": (
        {f'pretrain_job_{what}_total{{pod="{pod}"}}': "0x155 _x25" if pod == "a" else "_x156 0x24"
         for what in ("failures", "disruptions") for pod in "ab"}
        | {'pretrain_job_restarts_total{pod="a"}': "0x150 0+1x4 _x25",
           'pretrain_job_restarts_total{pod="b"}': "_x156 4+1x4 8x19"},
        True,
    ),
    "PretrainJobLossDiverging": (
        {**OLD, 'pretrain_job_loss{pod="a"}': "2x100 _x80", 'pretrain_job_loss{pod="b"}': "_x101 4x80"},
        True,
    ),
    "PretrainJobPending": (
        {'pretrain_job_state{state="Queued",pod="a"}': "_x100 1x40", 'pretrain_job_state{state="Queued",pod="b"}': "_x140 1x40"},
        True,
    ),
    "PretrainJobRecovering": (
        {'pretrain_job_state{state="Recovering",pod="a"}': "_x160 1x8 stale", 'pretrain_job_state{state="Recovering",pod="b"}': "_x169 1x9"},
        True,
    ),
    # Nor is what a person knows already new.
    "PretrainJobFailed": (
        {'pretrain_job_state{state="Failed",pod="a"}': "1x170 _x10", 'pretrain_job_state{state="Failed",pod="b"}': "_x171 1x9"},
        False,
    ),
}  # fmt: skip
"""Series when another operator takes over, and whether the alert fires."""


AT: dict[str, tuple[str, str, Series, bool]] = {
    # A job that failed three hours ago and was not scraped for a quarter of an hour in between.
    "failed long before a gap": ("PretrainJobFailed", "190m", {FAILED: "1x120 _x15 1x200"}, False),
    "failed within a gap": ("PretrainJobFailed", "160m", {**during(0, 60, "Training"), **during(150, 200, "Failed")}, True),
    # It was made anew under its name, trained, and failed again.
    "failed a second time": (
        "PretrainJobFailed", "190m", {FAILED: "1x60 _x119 1x20", **during(80, 180, "Training")}, True,
    ),
    "failed, as two pods tell": (
        "PretrainJobFailed", "175m",
        {f'pretrain_job_state{{state="Failed",pod="{pod}"}}': "_x150 1x30" for pod in "ab"}, True,
    ),
    "has little budget left, as two pods tell": (
        "PretrainJobBudgetNearlyUsed", "175m",
        {f'pretrain_job_failures_{what}{{pod="{pod}"}}': f"{count}x180"
         for pod in "ab" for what, count in (("in_window", 7), ("allowed", 10))}, True,
    ),
    "was made anew and learns": (
        "PretrainJobLossDiverging", "131m",
        {"pretrain_job_loss": "2x60 _x10 10.8-0.05x60",
         'pretrain_job_time_seconds{activity="Productive"}': "0+60x60 _x10 0+60x60"}, False,
    ),
    "was made anew an hour ago and diverges": (
        "PretrainJobLossDiverging", "175m",
        {"pretrain_job_loss": "2x60 _x10 4x70 7x60",
         'pretrain_job_time_seconds{activity="Productive"}': "0+60x60 _x10 0+60x130"}, True,
    ),
    # It is Starting again before it is Queued for an hour.
    "is queued and starts in turn": (
        "PretrainJobPending", "130m",
        {'pretrain_job_state{state="Queued"}': "1x49 stale _x49 1x49 stale",
         'pretrain_job_state{state="Starting"}': "_x50 1x49 stale"}, True,
    ),
    "another installation's operator cannot lead": (
        "PretrainOperatorDown", "175m", {**GREEN, 'pretrain_operator_leading{namespace="blue"}': "1x160 0x20"}, True,
    ),
    "another installation's operator is gone": (
        "PretrainOperatorDown", "175m", {**GREEN, 'pretrain_operator_leading{namespace="blue"}': "1x160 stale"}, True,
    ),
    "two installations look after": (
        "PretrainOperatorDown", "175m",
        {**GREEN, 'pretrain_operator_leading{namespace="blue",pod="a"}': "1x100 stale",
         'pretrain_operator_leading{namespace="blue",pod="b"}': "0x100 1x80"}, False,
    ),
    "no operator was ever there for": ("PretrainOperatorDown", "175m", TRAINING, True),
    "no operator has been there for since yesterday": (
        "PretrainOperatorDown", "1500m", {"pretrain_operator_leading": "1x60 stale"}, True,
    ),
    "no operator has been there for since six hours": (
        "PretrainOperatorDown", "421m", {"pretrain_operator_leading": "1x60 stale"}, True,
    ),
    "has made no step for a quarter of an hour": (
        "PretrainJobNoProgress", "28m", {**TRAINING, "pretrain_job_progress_age_seconds": "0x10 0+60x30"}, True,
    ),
    "has made no step for twelve minutes": (
        "PretrainJobNoProgress", "23m", {**TRAINING, "pretrain_job_progress_age_seconds": "0x10 0+60x30"}, False,
    ),
    # Its checkpoint may be 95 minutes old.
    "was suspended for long": (
        "PretrainJobCheckpointOld", "632m", {**paused("Suspended", until=620)}, False,
    ),
    "could not recover for long": (
        "PretrainJobCheckpointOld", "632m", {**paused("Recovering", until=620)}, False,
    ),
    "was suspended and has made no checkpoint since": (
        "PretrainJobCheckpointOld", "730m", {**paused("Suspended", until=620)}, True,
    ),
    "recovers again and again and makes no checkpoint": (
        "PretrainJobCheckpointOld", "175m",
        {**paused("Queued", until=10), 'pretrain_job_state{state="Training"}': "_x10" + " 1x11 stale" * 20,
         'pretrain_job_state{state="Recovering"}': "_x22 1" + " stale _x11 1" * 19}, True,
    ),
}  # fmt: skip
"""Alert, when it is looked at, the series, and whether it fires then, once."""


def labelled(series: str) -> str:
    """With the labels that every series of a job has."""
    name, _, rest = series.partition("{")
    labels = [*filter(None, rest.removesuffix("}").split(","))]
    if not name.startswith("pretrain_operator_"):
        labels += ['namespace="research"', *([] if "pretrainjob=" in rest else ['pretrainjob="gpt"'])]
    return f"{name}{{{','.join(labels)}}}"


def a_test(alert: str, series: Series, fires: bool, at: str = "175m") -> dict[str, Any]:
    expected = {"labels": "{}", "value": 1}
    expression = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    return {
        "name": f"{alert} {'fires' if fires else 'is quiet'}",
        "interval": "1m",
        "input_series": [{"series": labelled(name), "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": at, "exp_samples": [expected] if fires else []}],
    }


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs.find("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("alert", CASES)
def test_it_fires_when_it_should_and_is_quiet_when_something_is_near(alert: str, tmp_path: Path) -> None:
    fires, quiet = CASES[alert]
    content = {"rule_files": [str(RULES)], "tests": [a_test(alert, fires, True), a_test(alert, quiet, False)]}
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps(content))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ANOTHER_OPERATOR)
def test_it_goes_on_when_another_operator_takes_over(alert: str, tmp_path: Path) -> None:
    series, fires = ANOTHER_OPERATOR[alert]
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": [a_test(alert, series, fires)]}))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("job", AT)
def test_it_judges_rightly_what(job: str, tmp_path: Path) -> None:
    alert, at, series, fires = AT[job]
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": [a_test(alert, series, fires, at)]}))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_cases() -> None:
    assert set(CASES) == set(ALERTS)


def test_prometheus_takes_the_rules() -> None:
    done = promtool("check", "rules", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", FOUND, ids=lambda rule: rule.get("alert") or rule["record"])
def test_its_metrics_are_declared(rule: dict[str, Any]) -> None:
    names = {metric.name for metric in (*operator.METRICS, *trainer.METRICS)} | RECORDED
    used = set(re.findall(r"[a-z_:]*pretrain_[a-z_:0-9]+", rule["expr"]))
    assert used
    assert used <= names


@pytest.mark.parametrize("alert", ALERTS)
def test_it_says_what_is_wrong_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    annotations = rule["annotations"]
    assert "{{" not in annotations["summary"]
    page = ROOT / annotations["runbook_url"]
    text = page.read_text()
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)", text, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Fix"]


def test_an_address_is_put_before_the_pages_as_the_guide_says() -> None:
    guide = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    (command,) = re.findall(r"^(sed .*) > rules.yaml$", guide, re.MULTILINE)
    done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, check=True)
    addresses = re.findall(r"runbook_url: (.*)", done.stdout)
    assert addresses == [f"https://wiki.example.com/runbooks/{alert.lower()}.md" for alert in ALERTS]


def test_no_page_is_left_of_an_alert_that_is_gone() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "how-to" / "runbooks").glob("*.md")} - {"README"}
    assert pages == {alert.lower() for alert in ALERTS}
