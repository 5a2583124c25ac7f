"""The development cluster is a cluster: what everything else that runs on it relies on."""

import http.client

import pytest
from support.cluster import programs
from support.cluster.cluster import DevelopmentCluster
from support.cluster.kubectl import Failed
from support.cluster.node import ready_nodes
from support.cluster.scratch_image import busybox_image, scratch_image
from support.eventually import eventually
from support.pods import Pods, a_pod


@pytest.fixture
def pods(cluster: DevelopmentCluster, namespace: str) -> Pods:
    return Pods(cluster.kubectl, namespace)


class TestPods:
    def test_a_pod_runs_under_the_restricted_profile_with_logs_and_exec(
        self, cluster: DevelopmentCluster, pods: Pods
    ) -> None:
        pods.start(a_pod("good", cluster.busybox, "sh", "-c", "echo hello; sleep 1000"))
        assert pods.kubectl("logs", "good") == "hello\n"
        assert pods.kubectl("exec", "good", "--", "id", "-u") == "65532\n"
        with pytest.raises(Failed, match="Read-only file system"):
            pods.kubectl("exec", "good", "--", "touch", "/file")

    def test_a_pod_that_asks_for_more_is_refused(self, cluster: DevelopmentCluster, pods: Pods) -> None:
        pod = a_pod("bad", cluster.busybox, "id")
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(Failed, match="violates PodSecurity"):
            pods.start(pod)

    def test_the_memory_limit_ends_a_pod_that_exceeds_it(self, cluster: DevelopmentCluster, pods: Pods) -> None:
        pod = a_pod("greedy", cluster.busybox, "tail", "/dev/zero", resources={"limits": {"memory": "32Mi"}})
        pods.kubectl("create", "-f", "-", objects=pod)
        status = eventually(lambda: pods.status("greedy"), lambda status: status["phase"] == "Failed", 60)
        ended = status["containerStatuses"][0]["state"]["terminated"]
        assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


class TestNetwork:
    def test_pods_on_different_nodes_reach_each_other(
        self, development_cluster: DevelopmentCluster, pods: Pods
    ) -> None:
        first, second = (node.name for node in development_cluster.nodes)
        image = development_cluster.busybox
        address = pods.start(a_pod("server", image, "sh", "-c", "echo from afar | nc -l -p 8000", node=first))
        command = f"until nc -w 5 {address} 8000 </dev/null; do sleep 0.2; done"
        assert pods.output(a_pod("client", image, "sh", "-c", command, node=second)) == "from afar\n"

    def test_a_service_account_reaches_the_api_server(
        self, development_cluster: DevelopmentCluster, pods: Pods
    ) -> None:
        program = programs.find("kubectl").read_bytes()
        name = "localhost/pretrain/kubectl:1"
        archive = development_cluster.folder / "kubectl.tar"
        development_cluster.load_image(scratch_image(archive, name, {"bin/kubectl": program}, {}, ["kubectl"]))
        printed = pods.output(a_pod("caller", name, "kubectl", "auth", "whoami", "--cache-dir=/dev/null"))
        assert f"system:serviceaccount:{pods.namespace}:default" in printed

    def test_pods_reach_the_s3_server(self, cluster: DevelopmentCluster, pods: Pods) -> None:
        host, port = cluster.s3.url.removeprefix("http://").split(":")
        request = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {host} {port}"
        answer = pods.output(a_pod("caller", cluster.busybox, "sh", "-c", request))
        assert "AccessDenied" in answer  # a stranger's request, answered

    def test_this_machine_reaches_pods(self, development_cluster: DevelopmentCluster, pods: Pods) -> None:
        answer = "HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nup"
        serve = f"while true; do printf '{answer}' | nc -l -p 8000; done"
        address = pods.start(a_pod("metrics", development_cluster.busybox, "sh", "-c", serve))

        def asked() -> bytes:
            connection = http.client.HTTPConnection(address, 8000, timeout=5)
            try:
                connection.request("GET", "/")
                return connection.getresponse().read()
            except OSError:
                return b""
            finally:
                connection.close()

        eventually(asked, lambda content: content == b"up")


class TestNodes:
    def test_a_node_that_is_cut_off_becomes_not_ready_and_comes_back(
        self, development_cluster: DevelopmentCluster, pods: Pods
    ) -> None:
        node = development_cluster.nodes[1]
        plane = development_cluster.plane
        pods.start(a_pod("survivor", development_cluster.busybox, "sleep", "1000", node=node.name))
        before = pods.status("survivor")["containerStatuses"]
        node.cut_off()
        eventually(lambda: ready_nodes(plane), lambda ready: node.name not in ready, 90, every_seconds=0.5)
        node.reconnect()
        development_cluster.wait_until_ready()
        assert pods.kubectl("exec", "survivor", "--", "echo", "alive") == "alive\n"
        assert pods.status("survivor")["containerStatuses"] == before

    def test_a_frozen_node_stops_and_goes_on(self, development_cluster: DevelopmentCluster, pods: Pods) -> None:
        node = development_cluster.nodes[1]
        count = "n=0; while true; do n=$((n+1)); echo $n; sleep 0.1; done"
        pods.start(a_pod("clock", development_cluster.busybox, "sh", "-c", count, node=node.name))
        node.freeze()
        states = {process.status() for process in node.processes()[1:]}
        node.thaw()
        assert states - {"zombie"} == {"stopped"}
        seen = pods.kubectl("logs", "clock")
        eventually(lambda: pods.kubectl("logs", "clock"), lambda now: len(now) > len(seen))

    def test_a_node_without_power_loses_its_containers_and_boots_again(
        self, development_cluster: DevelopmentCluster, pods: Pods
    ) -> None:
        node = development_cluster.nodes[1]
        pod = a_pod("worker", development_cluster.busybox, "sleep", "1000", node=node.name)
        pods.start(pod)
        node.switch_off()
        assert node.processes() == []
        node.switch_on()
        node.start_kubelet()
        development_cluster.wait_until_ready()
        eventually(lambda: pods.status("worker"), lambda status: status["phase"] == "Failed", 60)
        pods.start({**pod, "metadata": {"name": "replacement"}})


class TestImages:
    def test_an_archive_is_on_every_node(self, development_cluster: DevelopmentCluster, pods: Pods) -> None:
        archive, name = development_cluster.folder / "own.tar", "localhost/pretrain/own:1"
        development_cluster.load_image(busybox_image(archive, name, programs.find("busybox"), ["echo", "mine"]))
        for node in development_cluster.nodes:
            pod = a_pod(f"on-{node.name}", name, node=node.name)
            del pod["spec"]["containers"][0]["command"]
            assert pods.output(pod) == "mine\n"
