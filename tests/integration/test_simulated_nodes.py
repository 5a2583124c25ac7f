"""The API server alone and with simulated nodes, as other tests use them."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from support.cluster import places
from support.cluster.control_plane import ControlPlane, api_server, clean_up
from support.cluster.fixtures import new_namespace
from support.cluster.kubectl import Failed
from support.cluster.kwok import SimulatedNodes
from support.cluster.missing import visibly
from support.eventually import eventually

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def a_job(name: str) -> dict[str, object]:
    container = {"name": "main", "image": "none", "securityContext": RESTRICTED}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": template, "backoffLimit": 0},
    }


class TestApiServer:
    def test_is_of_the_release_that_its_kubectl_has(self, api_server: ControlPlane) -> None:
        client, _, server = api_server.kubectl("version").splitlines()[:3]
        assert client.split()[-1] == server.split()[-1]

    def test_refuses_a_user_without_rights(self, api_server: ControlPlane) -> None:
        kubectl = type(api_server.kubectl)(api_server.kubeconfig_for("somebody"))
        with pytest.raises(Failed, match='User "somebody" cannot list resource "pods"'):
            kubectl("get", "pods")

    def test_leaves_nothing_when_it_ends(self) -> None:
        with visibly(), api_server() as plane:
            folder = plane.folder
            running = [each for each in (plane.etcd, plane.server) if each is not None]
            assert len(running) == 2
        assert not any(process.runs() for process in running)
        assert not folder.exists()


@pytest.mark.usefixtures("api_server")  # says what is missing where none can run
class TestInterruptedRun:
    def test_is_ended_by_the_kernel_and_removed_by_the_next_start(self) -> None:
        program = "import signal; from support.cluster.control_plane import api_server\n"
        program += "with api_server() as plane: print(plane.folder, plane.etcd.pid, plane.server.pid, flush=True); "
        program += "signal.pause()"
        environment = {**os.environ, "PYTHONPATH": str(places.REPOSITORY / "tests")}
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            folder, *ids = run.stdout.readline().split()
            left = [psutil.Process(int(each)) for each in ids]
            run.send_signal(signal.SIGKILL)
        eventually(lambda: [process for process in left if process.is_running()], lambda found: not found)

        clean_up()

        assert not os.path.exists(folder)
        assert not list(places.STATE.glob(f"{os.path.basename(folder)}*"))


class TestSimulatedNodes:
    def test_a_job_runs_until_the_test_lets_its_pod_end(self, simulated_nodes: SimulatedNodes) -> None:
        kubectl = simulated_nodes.plane.kubectl
        namespace = new_namespace(simulated_nodes.plane)
        kubectl("apply", "-n", namespace, "-f", "-", objects=[a_job("good"), a_job("bad")])
        for name, code, condition in [("good", 0, "Complete"), ("bad", 137, "Failed")]:
            here = ("-n", namespace, "-l", f"job-name={name}")
            pod = eventually(
                lambda here=here: kubectl.get("pods", *here)["items"],
                lambda pods: pods and pods[0]["status"]["phase"] == "Running",
            )[0]
            assert pod["status"]["podIP"].startswith("10.")
            simulated_nodes.finish(namespace, pod["metadata"]["name"], code, message="the last words")
            kubectl("wait", "job", name, "-n", namespace, f"--for=condition={condition}", "--timeout=30s")
            (pod,) = kubectl.get("pods", *here)["items"]
            ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
            assert (ended["exitCode"], ended["message"]) == (code, "the last words")

    def test_a_deleted_pod_goes(self, simulated_nodes: SimulatedNodes) -> None:
        kubectl = simulated_nodes.plane.kubectl
        namespace = new_namespace(simulated_nodes.plane)
        kubectl("apply", "-n", namespace, "-f", "-", objects=[a_job("short")])
        eventually(lambda: kubectl("get", "pods", "-n", namespace), lambda text: "Running" in text)
        kubectl("delete", "job", "short", "-n", namespace)
        eventually(lambda: kubectl.get("pods", "-n", namespace)["items"], lambda pods: not pods)
