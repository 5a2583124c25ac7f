"""What the generated monitoring asks Prometheus: dashboards and rules as they stand in the repository."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "manifests" / "monitoring" / "rules.yaml"
BOARDS = {path.stem: json.loads(path.read_text()) for path in
          sorted((ROOT / "charts/pretrain-operator/files/dashboards").glob("*.json"))}  # fmt: skip
_NAME = r"(?<![\w:])(?:[a-z_]+:)?pretrain_[a-z_]+(?::\w+)?"
EVERYTHING = {"$__rate_interval": "1m", "$__range": "5m", "$namespace": ".*", "$pretrainjob": ".*"}
"""Values of the dashboards' variables when every job is chosen."""


def rules() -> list[dict[str, Any]]:
    """Alerts and recording rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard, without the titles of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def asked(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Whoever asks, and the expression as Grafana sends it when everything is chosen."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield f"{board['title']} / {panel['title']}", as_sent(target["expr"])
    for note in board["annotations"].get("list", []):
        if note.get("expr"):
            yield f"{board['title']} / mark {note['name']}", as_sent(note["expr"])


def watched(rule: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The rule, and each selector of its expression: an alert that is quiet gives no series, what it watches has to."""
    for selector in dict.fromkeys(re.findall(rf"{_NAME}(?:{{[^}}]*}})?", rule["expr"])):
        yield f"{rule.get('alert') or rule['record']} watches {selector}", selector


def as_sent(expression: str, chosen: Mapping[str, str] = EVERYTHING) -> str:
    """With the variables of the dashboard replaced."""
    for name, value in chosen.items():
        expression = expression.replace(name, value)
    return expression


def metrics_in(expression: str) -> set[str]:
    """Names of our metrics and recorded series, of a histogram without what it is made of."""
    names = re.findall(_NAME, expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
