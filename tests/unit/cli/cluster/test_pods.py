"""Which pods of a job are meant."""

from typing import Any

import pytest

from pretrain_cli.cluster.pods import JobPod, Wanted, known, pod, previous


def a_manifest(name: str = "gpt-w3-2", state: dict[str, Any] | None = None, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "research", "name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T12:00:00Z",
            "labels": {f"pretrain.dev/{key}": value for key, value in labels.items()},
        },
        "spec": {"nodeName": "a17", "containers": [{"name": "trainer"}, {"name": "istio-proxy"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "istio-proxy", "state": {"running": {}}},
                {"name": "trainer", "state": state or {"waiting": {"reason": "ContainerCreating"}}},
            ],
        },
    }  # fmt: skip


def a_pod(stage: str = "train", worker: int = -1, attempt: int = 1, phase: str = "") -> JobPod:
    name = f"{stage}-{phase}-{worker}-{attempt}"
    return JobPod("research", name, name, stage, phase, attempt, worker)


class TestPod:
    def test_of_a_training_worker(self) -> None:
        seen = pod(a_manifest(stage="train", worker="3", attempt="2", phase="finish"))
        assert (seen.label, seen.attempt, seen.container, seen.node) == ("train/3", 2, "trainer", "a17")

    def test_of_a_share_of_a_phase(self) -> None:
        manifest = a_manifest(stage="prepare", attempt="1", phase="filter")
        manifest["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = "12"
        assert pod(manifest).label == "prepare-filter/12"

    @pytest.mark.parametrize(
        ("state", "started", "ended"),
        [({"waiting": {}}, False, False), ({"running": {}}, True, False), ({"terminated": {}}, True, True)],
    )
    def test_has_started_and_ended_with_its_own_container(self, state: Any, started: bool, ended: bool) -> None:
        seen = pod(a_manifest(state=state, stage="train"))
        assert (seen.has_started, seen.has_ended) == (started, ended)

    def test_of_a_stranger_is_no_error(self) -> None:
        assert pod({"metadata": {"namespace": "n", "name": "x", "uid": "u"}}).label == ""


class TestWanted:
    @pytest.mark.parametrize(
        ("wanted", "labels"),
        [
            (Wanted(), ["prepare-filter/0", "prepare-filter/1", "prepare", "train/0", "train/1"]),
            (Wanted(stage="Train"), ["train/0", "train/1"]),
            (Wanted(worker=1), ["prepare-filter/1", "train/1"]),
            (Wanted(stage="prepare", worker=1), ["prepare-filter/1"]),
            (Wanted(rank=9, ranks_per_worker=8), ["train/1"]),
            (Wanted(rank=0, ranks_per_worker=8, worker=1), []),
            (Wanted(stage="Encode"), []),
        ],
    )
    def test_filters(self, wanted: Wanted, labels: list[str]) -> None:
        pods = [
            a_pod("prepare", 0, phase="filter"), a_pod("prepare", 1, phase="filter"), a_pod("prepare", phase="finish"),
            a_pod("train", 0), a_pod("train", 1),
        ]  # fmt: skip
        assert [each.label for each in pods if wanted.has(each)] == labels


class TestPrevious:
    def test_is_the_one_before_the_newest_of_every_worker(self) -> None:
        pods = [a_pod(worker=0, attempt=n) for n in (10, 2, 9)] + [a_pod(worker=1, attempt=10)]
        assert [(each.worker, each.attempt) for each in previous(pods)] == [(0, 9)]


def test_the_pods_there_are_for_people() -> None:
    pods = [a_pod(worker=n) for n in range(14)] + [a_pod("tokenizer")]
    assert known(pods) == "tokenizer, " + ", ".join(f"train/{n}" for n in range(11)) + " and 3 more"
