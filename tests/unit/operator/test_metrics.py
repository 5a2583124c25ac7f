"""A job's series say what its status says, and go when it goes."""

from datetime import timedelta

from prometheus_client import generate_latest
from support.stage_runs import NOON

from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus, Progress, RecoveryRecord, RecoveryStatus, World
from pretrain_operator.metrics import JobFigures, Metrics

TRAINING = PretrainJobStatus(
    state="Training",
    stage="Train",
    world=World(generation=3, workers=4, ready=3),
    progress=Progress(step=12),
    checkpoint=CheckpointStatus(step=10, time=NOON - timedelta(seconds=90)),
    recovery=RecoveryStatus(failures=2, disruptions=1),
)
KEY = ("research", "gpt")


def shown(metrics: Metrics) -> dict[str, float]:
    """Every sample of a job, without its labels for namespace and job."""
    lines = [line for line in generate_latest(metrics.registry).decode().splitlines() if 'job="gpt"' in line]
    return {line.rpartition(" ")[0].replace('job="gpt",namespace="research"', ""): float(line.rpartition(" ")[2])
            for line in lines}  # fmt: skip


def of(status: PretrainJobStatus) -> Metrics:
    metrics = Metrics()
    metrics.registry.unregister(metrics.jobs)
    metrics.jobs = JobFigures(now=lambda: NOON)
    metrics.registry.register(metrics.jobs)
    metrics.jobs.show(KEY, status)
    return metrics


def test_of_a_training_job() -> None:
    found = shown(of(TRAINING))
    assert found['pretrain_job_state{,state="Training"}'] == 1
    assert found['pretrain_job_workers{,phase="ready"}'] == 3
    assert found['pretrain_job_workers{,phase="missing"}'] == 1
    assert found["pretrain_job_checkpoint_age_seconds{}"] == 90
    assert found["pretrain_job_failures_total{}"] == 2
    assert found["pretrain_job_disruptions_total{}"] == 1
    assert found["pretrain_job_step{}"] == 12


def test_of_a_recovery_are_its_rung_its_seconds_and_its_phases() -> None:
    last = RecoveryRecord(kind="Shrink", seconds="1.350", lost_steps=2, phases="stop 0.100, start 1.250")
    recovery = RecoveryStatus(restarts=1, last_recovery=last)
    found = shown(of(TRAINING.model_copy(update={"recovery": recovery})))
    assert found['pretrain_job_last_recovery_seconds{job="gpt",kind="Shrink",namespace="research"}'] == 1.35
    assert found['pretrain_job_last_recovery_lost_steps{job="gpt",kind="Shrink",namespace="research"}'] == 2
    assert found['pretrain_job_last_recovery_phase_seconds{,phase="start"}'] == 1.25
    assert found["pretrain_job_restarts_total{}"] == 1


def test_of_a_finished_job_are_its_info_and_state_alone() -> None:
    found = shown(of(TRAINING.model_copy(update={"state": "Succeeded", "stage": ""})))
    assert sorted(found) == ['pretrain_job_info{,stage=""}', 'pretrain_job_state{,state="Succeeded"}']


def test_of_a_deleted_job_are_none() -> None:
    metrics = of(TRAINING)
    metrics.jobs.forget(KEY)
    assert shown(metrics) == {}


def test_answers_are_counted_by_a_bounded_set_of_codes() -> None:
    metrics = Metrics()
    for code in (200, 409, 418, 419):
        metrics.answered("GET", code)
    text = generate_latest(metrics.registry).decode()
    assert 'code="400",verb="GET"} 2.0' in text
