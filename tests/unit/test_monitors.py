"""Pods that a PodMonitor means, as the tests' own discovery finds them."""

from pathlib import Path
from typing import Any

from support.cluster.discovery import found, scrape_config

MONITOR: dict[str, Any] = {
    "metadata": {"name": "jobs", "namespace": "system"},
    "spec": {"podMetricsEndpoints": [{"port": "metrics", "honorLabels": True, "interval": "2s"}]},
}


def a_pod(**status: str) -> dict[str, Any]:
    ports = [{"name": "rendezvous", "containerPort": 29400}, {"name": "metrics", "containerPort": 8080}]
    return {
        "metadata": {"name": "gpt-w0", "namespace": "research"},
        "spec": {"containers": [{"name": "train", "ports": ports}, {"name": "beside"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.7", **status},
    }


def test_it_is_scraped_at_the_port_of_that_name_under_labels_of_its_own() -> None:
    labels = {
        "job": "system/jobs",
        "namespace": "research",
        "pod": "gpt-w0",
        "container": "train",
        "endpoint": "metrics",
    }
    assert found(MONITOR, [a_pod()]) == [{"targets": ["10.0.0.7:8080"], "labels": labels}]


def test_one_that_has_ended_or_has_no_address_is_not() -> None:
    assert found(MONITOR, [a_pod(phase="Failed"), a_pod(phase="Succeeded"), a_pod(podIP="")]) == []


def test_how_often_and_whose_labels_hold_is_what_the_monitor_says(tmp_path: Path) -> None:
    config = scrape_config(MONITOR, tmp_path)
    assert (config["scrape_interval"], config["honor_labels"]) == ("2s", True)
