"""A job's series say what its status says, and go when it goes."""

import itertools
import re
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.jobs import a_job
from support.stage_runs import NOON

from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import (
    CheckpointStatus,
    Condition,
    Failure,
    Goodput,
    Progress,
    RecoveryRecord,
    RecoveryStatus,
    StageStatus,
    TimeSpent,
    World,
)
from pretrain_operator.metrics import JobFigures, Metrics, declared, exemplar
from pretrain_operator.metrics.exposition import EOF

TRAINING = PretrainJobStatus(
    state="Training",
    stage="Train",
    start_time=NOON - timedelta(seconds=100),
    conditions=[Condition(type="Running", status="True"), Condition(type="Stalled", status="False")],
    world=World(generation=3, workers=4, ready=3),
    progress=Progress(
        step=12,
        total_steps=50,
        loss="3.5",
        tokens_per_second=100,
        data_wait_ratio="0.25",
        mfu_ratio="0.41",
        estimated_completion_time=NOON + timedelta(minutes=2),
        completion_error_seconds=9,
        update_time=NOON - timedelta(seconds=3),
    ),
    checkpoint=CheckpointStatus(step=10, time=NOON - timedelta(seconds=90)),
    recovery=RecoveryStatus(failures=2, disruptions=1, recent_failures=[NOON]),
    goodput=Goodput(
        until=NOON,
        spent=[
            TimeSpent(activity="Productive", seconds="60.000"),
            TimeSpent(activity="Recovery", rung="Shrink", phase="load", seconds="15.000"),
            TimeSpent(activity="OtherStages", seconds="25.000"),
        ],
        stood=[TimeSpent(activity="Productive", seconds="60.000")],
    ),
)
KEY = ("research", "gpt")


class Shown:
    """What is scraped of one job."""

    def __init__(self, status: PretrainJobStatus) -> None:
        self.registry, self.jobs = CollectorRegistry(), JobFigures(now=lambda: NOON)
        self.registry.register(self.jobs)
        self.jobs.show(KEY, status, a_job().spec)

    def __getitem__(self, metric: declared.Metric) -> float | None:
        return self.of(metric)

    def of(self, metric: declared.Metric, **labels: str) -> float | None:
        return self.registry.get_sample_value(metric.name, {"namespace": "research", "pretrainjob": "gpt", **labels})

    @property
    def names(self) -> set[str]:
        """Metrics with a sample of the job."""
        lines = generate_latest(self.registry).decode().splitlines()
        return {line.partition("{")[0] for line in lines if 'pretrainjob="gpt"' in line}


def test_of_a_training_job() -> None:
    shown = Shown(TRAINING)
    assert shown.of(declared.STATE, state="Training") == 1
    assert shown.of(declared.CONDITION, type="Running") == 1
    assert shown.of(declared.CONDITION, type="Stalled") is None
    assert shown.of(declared.WORKERS, phase="ready") == 3
    assert shown.of(declared.WORKERS, phase="missing") == 1
    assert (shown[declared.STEP], shown[declared.STEPS], shown[declared.LOSS]) == (12, 50, 3.5)
    assert (shown[declared.TOKENS_PER_SECOND], shown[declared.MFU], shown[declared.DATA_WAIT]) == (100, 0.41, 0.25)
    assert (shown[declared.TIME_LEFT], shown[declared.TIME_LEFT_ERROR]) == (120, 9)
    assert shown[declared.PROGRESS_AGE] == 3
    assert (shown[declared.CHECKPOINT_AGE], shown[declared.CHECKPOINT_INTERVAL]) == (90, 300)
    assert (shown[declared.FAILURES_TOTAL], shown[declared.DISRUPTIONS]) == (2, 1)
    assert (shown[declared.WINDOW], shown[declared.BUDGET]) == (1, 10)


@pytest.mark.parametrize(("silent", "left"), [(0, 120), (50, 70), (60, 60), (900, 60)])
def test_time_left_falls_with_the_clock_until_training_is_silent_for_a_minute(silent: float, left: float) -> None:
    spoke = NOON - timedelta(seconds=silent)
    end = {"update_time": spoke, "estimated_completion_time": spoke + timedelta(seconds=120)}
    progress = TRAINING.progress.model_copy(update=end)
    assert Shown(TRAINING.model_copy(update={"progress": progress}))[declared.TIME_LEFT] == left


def test_of_its_documents_is_what_each_stage_read_and_kept() -> None:
    collect = StageStatus(
        name="Collect", state="Complete", documents_in=9, documents_out=7, bytes_in=900, bytes_out=700
    )
    prepare = StageStatus(name="Prepare", state="Complete", documents_in=7, documents_out=0, bytes_in=700, bytes_out=0)
    shown = Shown(TRAINING.model_copy(update={"stages": [collect, prepare, StageStatus(name="Tokenizer")]}))
    found = [shown.of(declared.DOCUMENTS, stage=s, fate=f) for s in ("Collect", "Prepare") for f in ("read", "kept")]
    assert found == [9, 7, 7, 0]
    assert shown.of(declared.TEXT_BYTES, stage="Collect", fate="kept") == 700
    assert shown.of(declared.DOCUMENTS, stage="Tokenizer", fate="read") is None
    assert declared.DOCUMENTS.name not in Shown(TRAINING).names


def test_without_a_checkpoint_its_age_is_that_of_the_training() -> None:
    train = StageStatus(name="Train", state="Running", start_time=NOON - timedelta(seconds=70))
    shown = Shown(TRAINING.model_copy(update={"checkpoint": None, "stages": [train]}))
    assert shown[declared.CHECKPOINT_AGE] == 70


def test_of_its_time_are_the_activities_and_the_phases_of_recoveries() -> None:
    shown = Shown(TRAINING)
    assert shown.of(declared.TIME, activity="Productive") == 60
    assert shown.of(declared.TIME, activity="Recovery") == 15
    assert shown.of(declared.RECOVERING, rung="Shrink", phase="load") == 15
    assert shown[declared.GOODPUT] == 0.8


def test_time_that_is_not_closed_yet_counts() -> None:
    suspended = TRAINING.model_copy(update={"state": "Suspended", "start_time": NOON - timedelta(seconds=160)})
    until = suspended.goodput.model_copy(update={"until": NOON - timedelta(seconds=60)})
    shown = Shown(suspended.model_copy(update={"goodput": until}))
    assert shown.of(declared.TIME, activity="Suspended") == 60


def test_figures_of_steps_are_shown_while_there_are_steps() -> None:
    shown = Shown(TRAINING.model_copy(update={"state": "Recovering"}))
    assert shown[declared.STEP] == 12
    assert shown[declared.TOKENS_PER_SECOND] is shown[declared.PROGRESS_AGE] is shown[declared.LOSS] is None


def test_of_a_recovery_are_its_rung_and_its_seconds() -> None:
    last = RecoveryRecord(kind="Shrink", seconds="1.350", lost_steps=2, phases="stop 0.100, start 1.250")
    recovery = RecoveryStatus(restarts=1, last_recovery=last)
    shown = Shown(TRAINING.model_copy(update={"recovery": recovery}))
    assert shown.of(declared.LAST_RECOVERY, rung="Shrink") == 1.35
    assert shown.of(declared.LAST_LOST, rung="Shrink") == 2
    assert shown[declared.RESTARTS] == 1


def test_of_a_finished_job_are_its_info_and_state_alone() -> None:
    assert Shown(TRAINING.model_copy(update={"state": "Succeeded", "stage": ""})).names == {
        declared.INFO.name,
        declared.STATE.name,
    }


def test_of_a_deleted_job_are_none() -> None:
    shown = Shown(TRAINING)
    shown.jobs.forget(KEY)
    assert shown.names == set()


class TestText:
    """What a scrape of the operator is answered with, against prometheus_client's own writing of the same figures."""

    def test_is_as_the_library_writes_it(self) -> None:
        recovery = RecoveryStatus(restarts=1, last_recovery=RecoveryRecord(kind='of a "kind" \\', seconds="1234567.5"))
        shown = Shown(TRAINING.model_copy(update={"recovery": recovery}))
        for number, state in enumerate(("Suspended", "Recovering", "Pending", "Succeeded", "Failed")):
            shown.jobs.show(("lab", f"job-{number}"), TRAINING.model_copy(update={"state": state}), a_job().spec)
        shown.jobs.show(("lab", "new"), PretrainJobStatus())
        assert shown.jobs.text() == generate_latest(shown.registry).decode()
        assert shown.jobs.text(is_open=True) + EOF == openmetrics.generate_latest(shown.registry).decode()

    def test_without_jobs_as_well(self) -> None:
        metrics, registry = Metrics(), CollectorRegistry()
        registry.register(metrics.jobs)
        assert metrics.jobs.text() == generate_latest(registry).decode()

    def test_of_a_status_that_somebody_wrote_by_hand_less_is_told_and_of_the_others_everything(self) -> None:
        metrics = Metrics()
        metrics.jobs.show(KEY, TRAINING, a_job().spec)
        spent = Goodput(spent=[TimeSpent(activity="Lost", seconds="abc")])
        odd = {
            "state": "Starting",
            "goodput": spent,
            "recovery": RecoveryStatus(last_recovery=RecoveryRecord(seconds="x")),
        }
        metrics.jobs.show(("lab", "odd"), TRAINING.model_copy(update=odd), a_job().spec)
        text = metrics.text()[0].decode()
        assert 'pretrain_job_state{namespace="lab",pretrainjob="odd",state="Starting"} 1.0' in text
        assert 'pretrain_job_goodput_ratio{namespace="research",pretrainjob="gpt"} 0.8' in text

    def test_follows_the_clock_and_the_newest_status(self) -> None:
        now = [NOON]
        jobs, registry = JobFigures(now=lambda: now[0]), CollectorRegistry()
        registry.register(jobs)
        jobs.show(KEY, TRAINING)
        texts = [jobs.text()]
        now[0] += timedelta(seconds=7)
        texts.append(jobs.text())
        jobs.show(KEY, TRAINING.model_copy(update={"state": "Suspended"}))
        texts.append(jobs.text())
        now[0] += timedelta(seconds=7)
        texts.append(jobs.text())
        assert texts[-1] == generate_latest(registry).decode()
        assert len(set(texts)) == 4


def test_answers_are_counted_by_a_bounded_set_of_codes() -> None:
    metrics = Metrics()
    for code in (200, 409, 418, 419):
        metrics.answered("GET", code)
    assert metrics.registry.get_sample_value(declared.REQUESTS.name, {"verb": "GET", "code": "400"}) == 2


class TestHappened:
    def test_the_first_of_its_kind_is_a_rise_from_zero(self) -> None:
        """Without a sample before it, `increase` would find nothing."""
        read = Metrics().registry.get_sample_value
        assert read(declared.FAILED.name, {"kind": "Hang"}) == 0
        assert read(f"{declared.RECOVERY.name}_count", {"rung": "Shrink"}) == 0
        assert read(f"{declared.RECOVERY_PHASE.name}_count", {"rung": "Shrink", "phase": "load"}) == 0

    def test_a_failure_is_counted_by_a_bounded_set_of_kinds(self) -> None:
        metrics = Metrics()
        for number, kind in enumerate(("Hang", "ZeroDivisionError", "KeyError"), start=3):
            failed = RecoveryStatus(failures=number, last_failure=Failure(kind=kind))
            metrics.happened(TRAINING, TRAINING.model_copy(update={"recovery": failed}))
        assert metrics.registry.get_sample_value(declared.FAILED.name, {"kind": "Hang"}) == 1
        assert metrics.registry.get_sample_value(declared.FAILED.name, {"kind": "Other"}) == 2

    def test_a_recovery_is_measured_once_with_its_phases(self) -> None:
        last = RecoveryRecord(kind="Shrink", seconds="1.350", phases="stop 0.100, start 1.250")
        after, metrics = TRAINING.model_copy(update={"recovery": RecoveryStatus(last_recovery=last)}), Metrics()
        metrics.happened(TRAINING, after)
        metrics.happened(after, after)
        read = metrics.registry.get_sample_value
        assert read(f"{declared.RECOVERY.name}_count", {"rung": "Shrink"}) == 1
        assert read(f"{declared.RECOVERY_PHASE.name}_sum", {"rung": "Shrink", "phase": "start"}) == 1.25


def test_what_is_served_is_what_is_declared() -> None:
    metrics = Metrics()
    metrics.jobs.show(KEY, TRAINING, a_job().spec)
    served = re.findall(r"^# TYPE (\S+) (\S+)", metrics.text()[0].decode(), re.MULTILINE)
    # prometheus_client adds when a counter or histogram began.
    own = {(name, kind) for name, kind in served if not name.endswith("_created")}
    assert own == {(metric.name, metric.kind) for metric in declared.METRICS}


class TestExemplars:
    """An event of each kind that a histogram counts, by which the job and the trace of an outlier are found."""

    OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

    def test_name_job_and_trace_to_who_accepts_them(self) -> None:
        metrics = Metrics()
        metrics.jobs.show(KEY, TRAINING, a_job().spec)
        metrics.reconciled(0.3, exemplar(KEY, self.TRACE))
        text, content_type = metrics.text(self.OPEN)
        assert content_type.startswith("application/openmetrics-text; version=1.0.0")
        families = {family.name: family for family in text_string_to_metric_families(text.decode())}
        assert set(families) >= {metric.name.removesuffix("_total") for metric in declared.METRICS}
        named = [s.exemplar for s in families[declared.RECONCILE.name].samples if s.exemplar]
        namespace, name = KEY
        assert [each.labels for each in named] == [
            {"trace_id": self.TRACE, "pretrainjob": name, "namespace": namespace}
        ]
        assert b"# {" not in metrics.text("text/plain;version=0.0.4")[0]

    def test_of_a_recovery_name_it_in_its_phases_too(self) -> None:
        last, metrics = RecoveryRecord(kind="Shrink", seconds="1.350", phases="stop 0.100, start 1.250"), Metrics()
        after = TRAINING.model_copy(update={"recovery": RecoveryStatus(last_recovery=last)})
        metrics.happened(TRAINING, after, exemplar(KEY, ""))
        lines = metrics.text(self.OPEN)[0].decode().splitlines()
        found = [line for line in lines if line.startswith("pretrain_operator_recovery") and 'pretrainjob="' in line]
        assert len(found) == 3

    @pytest.mark.parametrize(
        ("accept", "is_open"),
        [
            ("", False), ("*/*", False), ("text/plain;version=0.0.4", False), (OPEN, True), (OPEN.upper(), True),
            ("application/openmetrics-text;version=abc", True), ("application/openmetrics-text;q=0,text/plain", False),
            ("application/openmetrics-text;version=1.0.0;escaping=dots", True), (";;,,=;q=x", False),
        ],
    )  # fmt: skip
    def test_come_in_the_one_format_that_has_them_to_whoever_asks_for_it(self, accept: str, is_open: bool) -> None:
        text, content_type = Metrics().text(accept)
        assert content_type.startswith("application/openmetrics-text" if is_open else "text/plain")
        assert text.endswith(b"# EOF\n") == is_open
        assert b"pretrain_operator_leading" in text

    def test_leave_out_what_is_too_long(self) -> None:
        """Names have up to 63 characters each, and prometheus_client refuses what the format does not allow."""
        metrics = Metrics()
        for namespace, name in itertools.product(("a", "n" * 63), repeat=2):
            metrics.reconciled(1, exemplar((namespace, name), self.TRACE))
        assert exemplar(("n" * 63, "j" * 63), self.TRACE) == {"trace_id": self.TRACE, "pretrainjob": "j" * 63}
