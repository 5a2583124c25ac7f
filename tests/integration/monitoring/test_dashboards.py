"""The dashboards as they are shipped: whole, of declared metrics, and such that Prometheus and Grafana's types take them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from support import monitoring
from support.cluster import programs
from support.dashboards.answers import Span
from support.dashboards.drawn import Drawn

from pretrain_operator.metrics import declared as operator
from pretrain_trainer.metrics import declared as trainer

BOARDS = monitoring.BOARDS
PANELS = [pytest.param(panel, id=f"{name}: {panel['title']}") for name, board in BOARDS.items()
          for panel in monitoring.panels(board)]  # fmt: skip
NO_TIME = Span(0, 0, scrape_seconds=1)
DECLARED = {metric.name for metric in (*operator.METRICS, *trainer.METRICS)}
RECORDED = {rule["record"] for rule in monitoring.rules() if "record" in rule}


def test_there_are_the_five() -> None:
    assert list(BOARDS) == ["data", "fleet", "job", "operator", "recovery"]


@pytest.mark.parametrize("name", BOARDS)
class TestBoard:
    def test_the_types_of_grafana_read_it_and_write_the_same(self, name: str) -> None:
        again = json.loads(json.dumps(Dashboard.from_json(BOARDS[name]), cls=JSONEncoder))
        assert again["title"] == BOARDS[name]["title"]
        assert again["panels"] == BOARDS[name]["panels"]
        assert again["templating"] == BOARDS[name]["templating"]

    def test_its_identity_is_fixed_and_its_panels_are_told_apart(self, name: str) -> None:
        board = BOARDS[name]
        assert (board["uid"], board["tags"]) == (f"pretrain-{name}", ["pretrain"])
        numbers = [panel["id"] for panel in board["panels"]]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        assert len({panel["title"] for panel in monitoring.panels(board)}) == len(monitoring.panels(board))

    def test_no_panel_lies_over_another(self, name: str) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in BOARDS[name]["panels"]:
            place = panel["gridPos"]
            own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert place["x"] + place["w"] <= 24
            assert not taken & own, panel["title"]
            taken |= own

    def test_the_data_source_is_a_variable_and_jobs_are_chosen(self, name: str) -> None:
        variables = {variable["name"]: variable for variable in BOARDS[name]["templating"]["list"]}
        assert variables["datasource"]["type"] == "datasource"
        assert ({"namespace", "pretrainjob"} <= set(variables)) == (name != "operator")

    def test_prometheus_can_read_every_expression(self, name: str, tmp_path: Path) -> None:
        asked = monitoring.asked(BOARDS[name])
        found = [{"record": f"panel:expression:{n}", "expr": text} for n, (_, text) in enumerate(asked)]
        file = tmp_path / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": found}]}))
        done = subprocess.run(
            [programs.find("promtool"), "check", "rules", file], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_it_is_shipped_without_helm_too(self, name: str) -> None:
        maps = yaml.safe_load_all((monitoring.ROOT / "manifests/monitoring/dashboards.yaml").read_text())
        (found,) = [each for each in maps if each["metadata"]["name"] == f"pretrain-dashboard-{name}"]
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(found["data"][f"pretrain-{name}.json"]) == BOARDS[name]


@pytest.mark.parametrize("panel", PANELS)
class TestPanel:
    def test_it_says_what_it_shows_and_in_what(self, panel: dict[str, Any]) -> None:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        first, *others = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert first["value"] is None
        assert [step["value"] for step in others] == sorted(step["value"] for step in others)

    def test_it_asks_for_what_is_declared(self, panel: dict[str, Any]) -> None:
        assert panel["targets"]
        for target in panel["targets"]:
            used = monitoring.metrics_in(target["expr"])
            assert used
            assert used <= DECLARED | RECORDED


@pytest.mark.parametrize("panel", PANELS)
def test_what_happened_is_counted_in_whole_numbers(panel: dict[str, Any]) -> None:
    """Prometheus makes 1.33 of one event among four scrapes. Of times and their quantiles fractions are meant."""
    for target in panel["targets"]:
        for counter in re.findall(r"(?<!round\()increase\((\w+)", target["expr"]):
            assert counter.endswith(("_seconds_bucket", "_seconds_sum", "_seconds_count"))


# What pytest gives back for a parameter has values of no type.
@pytest.mark.parametrize("panel", [p for p in PANELS if p.values[0]["type"] == "stat"])  # type: ignore[index]
def test_a_figure_is_a_number_unless_a_label_is_the_word(panel: dict[str, Any]) -> None:
    legends = [target["legendFormat"] for target in panel["targets"]]
    if len(legends) > 1:
        assert panel["options"]["textMode"] == "value_and_name"
    else:
        assert (panel["options"]["textMode"] == "name") == legends[0].startswith("{{")


def test_waits_are_told_apart_by_colour() -> None:
    for name, title in (("job", "Where its time went"), ("fleet", "Where the time goes")):
        (panel,) = [panel for panel in monitoring.panels(BOARDS[name]) if panel["title"] == title]
        waits = ("Queued", "Starting", "Suspended", "OtherStages")
        assert len({Drawn(panel, (), NO_TIME, ()).colour(activity) for activity in waits} - {None}) == len(waits)


def test_every_metric_is_looked_at_somewhere() -> None:
    """In a panel or an alert; one that nobody looks at need not be measured."""
    expressions = [text for board in BOARDS.values() for _, text in monitoring.asked(board)]
    expressions += [rule["expr"] for rule in monitoring.rules()]
    assert DECLARED - set().union(*map(monitoring.metrics_in, expressions)) == set()
