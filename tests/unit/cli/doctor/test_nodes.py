"""Nodes and what workers ask of them."""

from typing import Any

from support.jobs import a_job

from pretrain_api.types import PretrainJob
from pretrain_cli.doctor.nodes import findings


def node(gpus: int = 8, ready: bool = True, unschedulable: bool = False) -> dict[str, Any]:
    allocatable = {"cpu": "64", "memory": "512Gi", "hugepages-2Mi": "0", "nvidia.com/gpu": str(gpus)}
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"spec": {"unschedulable": unschedulable}, "status": {"allocatable": allocatable, "conditions": conditions}}


def job(gpus: int, least: int, most: int) -> PretrainJob:
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {"cpu": "1"}
    workers = {"min": least, "max": most, "resources": {"limits": limits}}
    return PretrainJob.model_validate(a_job().with_spec(workers=workers).manifest)


def told(nodes: list[dict[str, Any]], wanted: PretrainJob | None = None) -> dict[str, tuple[str, str]]:
    return {finding.check: (finding.level, finding.message) for finding in findings(nodes, wanted)}


def test_devices_are_summed_over_nodes_that_can_be_used() -> None:
    found = told([node(8), node(4), node(8, ready=False), node(8, unschedulable=True)])
    assert found["nodes"] == ("warning", "2 of 4 nodes ready and schedulable.")
    assert found["gpus"] == ("ok", "12 nvidia.com/gpu on 2 of 2 nodes.")


def test_a_cluster_without_devices_is_a_warning() -> None:
    assert told([node(0)])["gpus"][0] == "warning"


def test_no_node_is_a_failure() -> None:
    assert told([])["nodes"][0] == "failure"


def test_workers_that_fit_are_well() -> None:
    assert told([node(8), node(8)], job(4, 1, 4))["workers"] == ("ok", "4 of 4 nvidia.com/gpu fit on empty nodes.")


def test_a_worker_that_is_larger_than_every_node_is_a_failure() -> None:
    level, message = told([node(4), node(4)], job(8, 1, 1))["workers"]
    assert (level, "no node has 8 nvidia.com/gpu" in message) == ("failure", True)


def test_fewer_than_the_least_workers_is_a_failure() -> None:
    assert told([node(8)], job(8, 2, 2))["workers"][0] == "failure"


def test_fewer_than_the_most_workers_is_a_warning() -> None:
    assert told([node(8)], job(8, 1, 2))["workers"][0] == "warning"


def test_a_job_without_devices_asks_for_none() -> None:
    assert "workers" not in told([node(8)], job(0, 1, 1))
