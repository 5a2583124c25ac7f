"""The traces of a real operator at a real API server, as an OTLP receiver gets them; and receivers that are no help."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.cluster.kwok import SimulatedNodes
from support.cluster.ports import free_port
from support.eventually import eventually
from support.kube import Cluster, OperatorProcess, Programs, a_cluster_job, succeeds_except
from support.otlp_receiver import receiving

TWO = {"min": 2, "max": 2}
RECOVERY = {
    "number": 1, "kind": "Replace", "rank": -1, "worker": "test-w1", "cause": "Evicted", "time": "2026-01-01T00:00:00Z",
    "seconds": 2.5, "lost_steps": 1, "phases": {"stop": 2.0, "load": 0.5},
}  # fmt: skip
LOADED = """
import sys
from pretrain_operator import tracing
from pretrain_operator.shell import operator
tracing.configured({})
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "google.protobuf"))))
"""


def an_operator(nodes: SimulatedNodes, cluster: Cluster, folder: Path, endpoint: str) -> OperatorProcess:
    """One that sends its traces to an endpoint, soon."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    return OperatorProcess(nodes.plane.kubeconfig, folder, namespace=cluster.namespace, environment=environment)


def test_reconciles_with_their_requests_and_a_recovery_arrive(
    simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
) -> None:
    with receiving() as receiver, an_operator(simulated_nodes, cluster, tmp_path, receiver.url) as operator:
        cluster.apply(a_cluster_job(workers=TWO).manifest)
        with Programs(cluster, succeeds_except("train")).playing():
            cluster.training(2, attempt=1)
            told = {"version": 1, "stage": "Train", "attempt": 1, "time": "2026-01-01T00:00:05Z"}
            report = json.dumps({**told, "figures": {"step": 3}, "recovery": RECOVERY})
            path = f"/api/v1/namespaces/{cluster.namespace}/configmaps/test-report"
            cluster.api.merge(path, {"data": {"report": report}})
            recovery = receiver.first("recovery")
        assert operator.stop() == 0
    [rung] = receiver.children(recovery)
    assert (rung.name, [phase.name for phase in receiver.children(rung)]) == ("Replace", ["stop", "load"])
    assert recovery.end - recovery.begin == 2_500_000_000
    assert recovery.attributes["pretrain.recovery.cause"] == "Evicted"

    begun = [span for span in receiver.named("reconcile") if "StartStage Train 1" in decided(span.attributes)]
    requests = [request for span in begun for request in receiver.children(span)]
    pods = [request for request in requests if request.name == "POST /api/v1/namespaces/{namespace}/pods"]
    assert [request.attributes["http.response.status_code"] for request in pods] == [201, 201]
    assert {span.attributes["k8s.namespace.name"] for span in begun} == {cluster.namespace}
    assert {span.attributes["pretrain.job.name"] for span in begun} == {"test"}


def decided(attributes: dict[str, object]) -> list[str]:
    found = attributes.get("pretrain.decision", [])
    assert isinstance(found, list)
    return found


def test_a_receiver_that_never_answers_holds_nothing_up(
    simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
) -> None:
    with (
        receiving(answers=False) as receiver,
        an_operator(simulated_nodes, cluster, tmp_path, receiver.url) as operator,
    ):
        cluster.apply(a_cluster_job(workers=TWO).manifest)
        eventually(lambda: receiver.asked)
        with Programs(cluster).playing():  # while the first request waits for its answer
            cluster.until_state("Tokenizing")
        assert operator.stop() == 0
        assert receiver.spans == []


@pytest.mark.parametrize("is_there", [True, False], ids=["refuses", "is-gone"])
def test_one_that_takes_nothing_is_told_in_the_log_and_the_job_goes_on(
    simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path, is_there: bool
) -> None:
    with receiving() as receiver:
        receiver.status = 400
        url = receiver.url if is_there else f"http://127.0.0.1:{free_port()}"
        with an_operator(simulated_nodes, cluster, tmp_path, url) as operator:
            cluster.apply(a_cluster_job(workers=TWO).manifest)
            eventually(operator.log.read_text, lambda text: "exporting span" in text or "export span" in text)
            cluster.until(lambda status: status.get("state") == "Collecting")
            assert operator.stop() == 0


def test_a_bad_address_ends_the_operator_with_what_to_write(
    simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
) -> None:
    operator = an_operator(simulated_nodes, cluster, tmp_path, "collector:4317").start()
    assert operator.process is not None
    assert operator.process.wait(60) == 2
    assert "[bad-traces-setting]" in operator.log.read_text()
    assert "Traceback" not in operator.log.read_text()


def test_without_an_address_nothing_of_opentelemetry_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
