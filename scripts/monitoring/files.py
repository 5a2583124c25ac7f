"""The files of dashboards: one each in the chart, and ConfigMaps for `kubectl apply`."""

from collections.abc import Callable
from functools import partial

import yaml

from monitoring.boards import BOARDS
from monitoring.panels import rendered

LABEL = "grafana_dashboard"
"""What Grafana's sidecar looks for, unless it is told otherwise."""


def dashboards() -> dict[str, Callable[[], str]]:
    """Path and content of each file in the chart."""
    folder = "charts/pretrain-operator/files/dashboards"
    return {f"{folder}/{board.name}.json": partial(rendered, board) for board in BOARDS}


def config_maps(note: str, namespace: str) -> str:
    """manifests/monitoring/dashboards.yaml."""
    documents = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"pretrain-dashboard-{board.name}",
                "namespace": namespace,
                "labels": {LABEL: "1", "app.kubernetes.io/name": "pretrain-operator"},
            },
            "data": {f"pretrain-{board.name}.json": rendered(board)},
        }
        for board in BOARDS
    ]
    return f"# {note}\n" + yaml.safe_dump_all(documents, sort_keys=False, width=1000, default_style=None)
