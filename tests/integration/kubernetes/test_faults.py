"""An API server that answers badly, operators that die, and two at once: the job ends the same."""

import random
from pathlib import Path
from threading import Event

import pytest
from support.cluster.fixtures import new_namespace
from support.cluster.kwok import SimulatedNodes
from support.eventually import eventually
from support.fault_proxy import PATIENCE_SECONDS, Fault, Script, fault_proxy
from support.kube import Api, Cluster, Manifest, OperatorProcess, Programs, a_cluster_job, succeeds, succeeds_except

pytestmark = pytest.mark.slow

TWO = {"min": 2, "max": 2}


def assert_undisturbed(status: Manifest) -> None:
    """The job succeeded as if nothing had happened."""
    assert status["state"] == "Succeeded", status
    assert [s["attempts"] for s in status["stages"]] == [1] * len(status["stages"])
    assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 0)


class TestBadAnswers:
    @pytest.mark.parametrize(("seed", "share"), [(1, 0.1), (2, 0.25)])
    def test_do_not_change_the_end(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path, seed: int, share: float
    ) -> None:
        print(f"seed {seed}")
        chance = random.Random(seed)

        def script(method: str, path: str) -> Fault:
            if "watch=true" in path:
                return "end" if chance.random() < 0.3 else None
            if not path.startswith("/api") or chance.random() >= share:
                return None
            faults: list[Fault] = [429, 500, 503, "cut", "lost"]
            return chance.choice([*faults, 409] if method in ("PATCH", "POST") else faults)

        with fault_proxy(simulated_nodes.plane, script) as proxy:
            kubeconfig = proxy.kubeconfig(tmp_path)
            with (
                OperatorProcess(kubeconfig, tmp_path, namespace=cluster.namespace),
                Programs(cluster).playing(),
            ):
                cluster.apply(a_cluster_job(workers=TWO).manifest)
                status = cluster.until_state("Succeeded", "Failed", within_seconds=240)
            assert len(proxy.made) > 3
        assert_undisturbed(status)


def kind(method: str, path: str) -> str:
    """A request without the names in it: PATCH pretrainjobs/status."""
    parts = path.partition("?")[0].partition("/namespaces/")[2].split("/")[1:]
    return f"{method} {'/'.join([*parts[:1], *parts[2:]])}"


class TestHeldAnswers:
    def test_that_come_after_the_client_has_gone_change_nothing(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
    ) -> None:
        """The first answer to each kind of request is late: the operator sends again what was carried out already."""
        late: set[str] = set()

        def script(method: str, path: str) -> Fault:
            name = kind(method, path)
            if "watch=true" in path or not path.startswith("/api") or name in late:
                return None
            late.add(name)
            return "late"

        self.run_through(simulated_nodes, cluster, tmp_path, script)
        writes = {"POST jobs", "POST pods", "POST configmaps", "PATCH pretrainjobs", "PATCH pretrainjobs/status"}
        assert writes | {"PATCH configmaps", "DELETE pods", "GET pods"} <= late

    def test_that_are_slow_change_nothing(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
    ) -> None:
        self.run_through(simulated_nodes, cluster, tmp_path, lambda _, path: None if "watch=true" in path else "slow")

    def run_through(self, nodes: SimulatedNodes, cluster: Cluster, folder: Path, script: Script) -> None:
        """A job that is suspended while it trains, through to its deletion."""
        with fault_proxy(nodes.plane, script) as proxy:
            flag = f"--request-timeout={PATIENCE_SECONDS}"
            with (
                OperatorProcess(proxy.kubeconfig(folder), folder, flag, namespace=cluster.namespace),
                Programs(cluster, succeeds_except("train")).playing() as programs,
            ):
                cluster.apply(a_cluster_job(workers=TWO).manifest)
                cluster.training(2, attempt=1, within_seconds=240)
                cluster.edit(suspend=True)
                cluster.until_state("Suspended", within_seconds=120)
                programs.fate = succeeds
                cluster.edit(suspend=False)
                status = cluster.until_state("Succeeded", "Failed", within_seconds=240)
                cluster.delete()
                eventually(cluster.is_there, lambda there: not there, 120, every_seconds=0.2)
        assert status["state"] == "Succeeded", status
        assert [s["attempts"] for s in status["stages"]] == [1, 1, 1, 1, 2, 1, 1, 1]
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 0)


class TestTwoOperators:
    def test_that_both_work_do_nothing_twice(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
    ) -> None:
        kubeconfig = simulated_nodes.plane.kubeconfig
        with (
            OperatorProcess(kubeconfig, tmp_path, namespace=cluster.namespace),
            OperatorProcess(kubeconfig, tmp_path, namespace=cluster.namespace),
            Programs(cluster, succeeds_except("train")).playing() as programs,
        ):
            cluster.apply(a_cluster_job(workers=TWO).manifest)
            first = cluster.training(2, attempt=1)
            name = first[0]["metadata"]["name"]
            cluster.api("DELETE", f"/api/v1/namespaces/{cluster.namespace}/pods/{name}")
            eventually(cluster.world, lambda world: world["generation"] == 2, 60)
            assert len(cluster.training(2, attempt=1)) == 2
            programs.fate = succeeds
            status = cluster.until_state("Succeeded", "Failed", within_seconds=240)
            # One that still runs when the first has finished may be ended before it finishes as well.
            assert {p["metadata"]["name"] for p in cluster.pods("train")} <= {"test-w1-1", "test-w2-1"}
        assert status["state"] == "Succeeded"
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 1)
        assert [s["attempts"] for s in status["stages"]] == [1] * 8


class TestLease:
    def test_of_a_dead_leader_is_not_taken_for_one_that_somebody_keeps(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
    ) -> None:
        kubeconfig, flags = simulated_nodes.plane.kubeconfig, (f"--lease-namespace={cluster.namespace}",)
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/pretrain-operator"
        with OperatorProcess(kubeconfig, tmp_path, *flags, namespace=cluster.namespace) as first:
            first.until_ready()
            dead = cluster.api.get(lease)["spec"]["holderIdentity"]
            first.kill()
        with OperatorProcess(kubeconfig, tmp_path, *flags, namespace=cluster.namespace) as second:
            second.until_ready()
            # `helm install --wait` has returned by now: jobs are served.
            assert cluster.api.get(lease)["spec"]["holderIdentity"] not in ("", dead)

    def test_is_handed_over_within_ten_seconds_of_the_leader_s_death(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
    ) -> None:
        plane = simulated_nodes.plane
        flags = (f"--lease-namespace={cluster.namespace}",)
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/pretrain-operator"
        with OperatorProcess(plane.kubeconfig, tmp_path, *flags, namespace=cluster.namespace) as first:
            eventually(lambda: cluster.api.items(lease.rpartition("/")[0]), bool, 60)
            holder = cluster.api.get(lease)["spec"]["holderIdentity"]
            with OperatorProcess(plane.kubeconfig, tmp_path, *flags, namespace=cluster.namespace) as second:
                second.until_ready()
                assert cluster.api.get(lease)["spec"]["holderIdentity"] == holder
                first.kill()
                # 10 s is the promise; a busy machine may need a moment more to get there.
                changed = eventually(
                    lambda: cluster.api.get(lease)["spec"], lambda s: s["holderIdentity"] != holder, 20
                )
                assert changed["leaseDurationSeconds"] <= 8
                with Programs(cluster).playing():
                    cluster.apply(a_cluster_job().manifest)
                    assert_undisturbed(cluster.until_state("Succeeded", "Failed"))
                assert second.stop() == 0
                assert cluster.api.get(lease)["spec"].get("holderIdentity", "") == ""


class TestOperatorProcess:
    def test_that_is_killed_in_every_stage_goes_on_where_it_was(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
    ) -> None:
        operator = OperatorProcess(simulated_nodes.plane.kubeconfig, tmp_path, namespace=cluster.namespace)
        with operator, Programs(cluster).playing():
            cluster.apply(a_cluster_job(workers=TWO).manifest)
            for state in ("Preparing", "Encoding", "Starting", "Exporting"):
                cluster.until(lambda s, state=state: s.get("state") in (state, "Succeeded"))  # type: ignore[misc]
                operator.kill()
                operator.start()
            status = cluster.until_state("Succeeded", "Failed", within_seconds=240)
            told = f'pretrain_job_state{{namespace="{cluster.namespace}",pretrainjob="test",state="Succeeded"}} 1.0'
            # Who reads the status from the API server may be quicker than the operator that has just written it.
            eventually(lambda: operator.answer(operator.metrics, "/metrics")[1], lambda metrics: told in metrics)
        assert_undisturbed(status)

    def test_ends_with_a_sentence_once_jobs_are_no_longer_known(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
    ) -> None:
        is_gone = Event()

        def script(method: str, path: str) -> Fault:
            if method != "GET" or "/pretrainjobs" not in path:
                return None
            if is_gone.is_set():
                return 404
            return "end" if "watch=true" in path else None

        with fault_proxy(simulated_nodes.plane, script) as proxy:
            operator = OperatorProcess(proxy.kubeconfig(tmp_path), tmp_path, namespace=cluster.namespace)
            with operator:
                cluster.apply(a_cluster_job(suspend=True).manifest)
                cluster.until_state("Suspended")
                is_gone.set()
                cluster.edit(suspend=False)  # an event, for a watch that is still open
                assert operator.process is not None
                assert operator.process.wait(60) == 1
        log = operator.log.read_text()
        assert "CustomResourceDefinition is gone" in log
        assert "ERROR pretrain_operator" in log.splitlines()[-1], "no traceback at its end"

    def test_sees_nothing_outside_its_namespaces(
        self, simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path
    ) -> None:
        other = Cluster(Api(simulated_nodes.plane), new_namespace(simulated_nodes.plane))
        with OperatorProcess(simulated_nodes.plane.kubeconfig, tmp_path, namespace=cluster.namespace):
            other.apply(a_cluster_job().manifest)
            cluster.apply(a_cluster_job(suspend=True).manifest)
            cluster.until_state("Suspended")
            assert other.status() == {}
