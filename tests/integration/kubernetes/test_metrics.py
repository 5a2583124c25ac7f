"""What Prometheus has of a real operator: its own dashboard, a job's series while it works, and what is left of it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import monitoring
from support.cluster import programs
from support.cluster.kwok import SimulatedNodes
from support.cluster.prometheus import Prometheus
from support.eventually import eventually
from support.kube import Cluster, OperatorProcess, Programs, a_cluster_job

TWO = {"min": 1, "max": 2}


@pytest.fixture
def prometheus(operator: OperatorProcess, tmp_path: Path) -> Iterator[Prometheus]:
    found = Prometheus(tmp_path)
    found.start(monitoring.RULES)
    found.scrape("operator", f"127.0.0.1:{operator.metrics}")
    yield found
    found.stop()


def series(cluster: Cluster) -> str:
    return f'{{__name__=~"pretrain_job_.+",namespace="{cluster.namespace}"}}'


def test_a_job_is_seen_while_it_works_and_when_it_is_gone_beside_the_times_of_reconciles_alone(
    cluster: Cluster, operator: OperatorProcess, prometheus: Prometheus
) -> None:
    cluster.apply(a_cluster_job(workers=TWO).manifest)
    with Programs(cluster).playing():
        cluster.until_state("Succeeded", "Failed")
    left = eventually(
        lambda: {one["metric"]["__name__"] for one in prometheus.query(series(cluster))},
        lambda names: names == {"pretrain_job_info", "pretrain_job_state"},
        30,
    )
    assert left
    cluster.delete()
    eventually(lambda: prometheus.query(series(cluster)), lambda found: not found, 60)
    named = prometheus.exemplars("pretrain_operator_reconcile_seconds_bucket")
    assert {"namespace": cluster.namespace, "pretrainjob": "test"} in named


def test_every_panel_of_the_operator_shows_something(operator: OperatorProcess, prometheus: Prometheus) -> None:
    def empty() -> set[str]:
        return {who for who, text in monitoring.asked(monitoring.BOARDS["operator"]) if not prometheus.query(text)}

    eventually(empty, lambda found: found <= {"Pretrain / Operator / Silence"}, 60)  # it runs without election here


def test_promtool_finds_nothing_to_say(operator: OperatorProcess) -> None:
    code, text = operator.answer(operator.metrics, "/metrics")
    assert code == 200
    command = [programs.find("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_the_time_of_a_job_went_is_written_into_its_status(
    cluster: Cluster, operator: OperatorProcess, simulated_nodes: SimulatedNodes
) -> None:
    cluster.apply(a_cluster_job(workers=TWO).manifest)
    with Programs(cluster).playing():
        status = cluster.until_state("Succeeded", "Failed")
    activities = {each["activity"] for each in status["goodput"]["spent"]}
    assert {"OtherStages", "Starting"} <= activities
