"""Dashboards as pictures: what is drawn is what a real Prometheus answers, in Grafana's units, places and ways."""

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from support import monitoring
from support.cluster import programs
from support.cluster.prometheus import Prometheus
from support.dashboards import colours, picture
from support.dashboards.answers import Series, Span, named, rows, series
from support.dashboards.canvas import wrapped
from support.dashboards.over_time import pieces
from support.dashboards.units import written

BEGAN = 1_700_000_000
SPAN = Span(BEGAN, BEGAN + 40, scrape_seconds=10, namespace="research", job="gpt")
STEPS = {0: 1, 10: 5, 30: 9}
"""Steps of a job by the second at which they were scraped; for ten seconds there was no scrape."""

STATES = {"gpt": "Training", "other": "Suspended", "ended": "Failed"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has seen a job of 40 seconds."""
    found = Prometheus(tmp_path_factory.mktemp("prometheus"))
    written_down = found.folder / "series.txt"
    lines = [f'pretrain_job_step{{namespace="research",pretrainjob="{job}"}} {step} {BEGAN + second}'
             for job in ("gpt", "other") for second, step in STEPS.items()]  # fmt: skip
    states = [f'pretrain_job_state{{namespace="research",pretrainjob="{job}",state="{state}"}} 1 {BEGAN + 30}'
              for job, state in STATES.items()]  # fmt: skip
    texts = ["# TYPE pretrain_job_step gauge", *lines, "# TYPE pretrain_job_state gauge", *states, "# EOF\n"]
    written_down.write_text("\n".join(texts))
    command = [
        programs.find("promtool"),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        written_down,
        found.folder / "data",
    ]
    subprocess.run(command, check=True, capture_output=True)
    found.start()
    yield found
    found.stop()


class TestAnswers:
    def test_a_line_has_the_points_of_the_chosen_job_and_its_gaps(self, prometheus: Prometheus) -> None:
        target = {
            "expr": 'last_over_time(pretrain_job_step{pretrainjob=~"$pretrainjob"}[9s])',
            "legendFormat": "{{pretrainjob}}",
        }
        (found,) = series(prometheus, target, SPAN)
        assert found.name == "gpt"
        np.testing.assert_array_equal(found.values, [1, 5, np.nan, 9, np.nan])

    def test_an_instant_query_has_the_value_at_the_end(self, prometheus: Prometheus) -> None:
        found = series(prometheus, {"expr": "pretrain_job_step", "instant": True, "legendFormat": ""}, SPAN)
        assert [each.values.tolist() for each in found] == [[9], [9]]

    def test_rates_are_over_four_scrapes_at_least(self) -> None:
        assert SPAN.chosen["$__rate_interval"] == "40s"

    def test_a_series_without_legend_has_the_name_that_prometheus_gives_it(self) -> None:
        assert named("", {"__name__": "up", "job": "a"}) == 'up{job="a"}'


class TestTable:
    def test_columns_of_a_job_are_one_row(self) -> None:
        labels = {"pretrainjob": "gpt"}
        answers = [[Series("", labels, np.array([value]))] for value in (7.0, 0.5)]
        assert rows(answers) == [{"pretrainjob": "gpt", "Value #A": 7.0, "Value #B": 0.5}]

    def test_rows_that_differ_in_a_label_are_not_merged(self) -> None:
        """As of the metrics' names, which an expression that takes no sum leaves there."""
        answers = [[Series("", {"pretrainjob": "gpt", "__name__": name}, np.array([1.0]))] for name in ("step", "loss")]
        assert len(rows(answers)) == 2

    def test_our_table_has_one_row_for_each_job(self, prometheus: Prometheus) -> None:
        (table,) = [panel for panel in monitoring.panels(monitoring.BOARDS["fleet"]) if panel["type"] == "table"]
        everything = Span(SPAN.start, SPAN.end, SPAN.scrape_seconds)
        found = rows([series(prometheus, target, everything) for target in table["targets"]])
        assert {row["pretrainjob"]: row["state"] for row in found} == {"gpt": "Training", "other": "Suspended"}
        assert [row["Value #B"] for row in found] == [9, 9]

    def test_our_table_shows_the_state_as_a_word_alone(self, prometheus: Prometheus) -> None:
        texts = [text.get_text() for text in picture.drawn(monitoring.BOARDS["fleet"], prometheus, SPAN).texts]
        assert {"state", "Training"} <= set(texts)
        assert not [text for text in texts if text.startswith("Value #")]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1234.0, "short", "1.23 K"),
        (0.5, "percentunit", "50%"),
        (90.0, "s", "1.5 mins"),
        (0.012, "s", "12 ms"),
        (3 * 1024.0**2, "bytes", "3 MiB"),
        (2500.0, "Bps", "2.5 kB/s"),
        (3.0, "reqps", "3 req/s"),
        (0.0003, "sci", "3.00e-04"),
        (15_200.0, "si: tokens/s", "15.2 k tokens/s"),
        (12.0, "si: samples/s", "12 samples/s"),
        (0.5, "suffix:steps/s", "0.5 steps/s"),
        (math.nan, "s", "NaN"),
    ],
)
def test_values_are_written_in_their_units(value: float, unit: str, expected: str) -> None:
    assert written(value, unit) == expected


def test_a_state_is_one_piece_for_as_long_as_it_lasts() -> None:
    assert pieces(np.array([np.nan, 1, 1, np.nan, 1, 2])) == [(1, 2), (4, 4), (5, 5)]


def test_a_legend_goes_on_in_the_next_line() -> None:
    assert [len(line) for line in wrapped([("a" * 10, "")] * 3, width=200)] == [2, 1]


@pytest.mark.parametrize("name", monitoring.BOARDS)
class TestPicture:
    def test_has_every_panel_and_says_which_have_no_data(self, name: str, prometheus: Prometheus) -> None:
        board = monitoring.BOARDS[name]
        texts = [text.get_text() for text in picture.drawn(board, prometheus, SPAN).texts]
        assert {panel["title"] for panel in board["panels"]} <= set(texts)
        empty = [panel for panel in monitoring.panels(board)
                 if not any(len(series(prometheus, target, SPAN)) for target in panel["targets"])]  # fmt: skip
        assert texts.count("No data") == len(empty) < len(texts)

    def test_is_as_large_as_its_grid(self, name: str, prometheus: Prometheus, tmp_path: Path) -> None:
        picture.draw(tmp_path / "picture.png", monitoring.BOARDS[name], prometheus, SPAN)
        places = [panel["gridPos"] for panel in monitoring.BOARDS[name]["panels"]]
        height, width, _ = image.imread(tmp_path / "picture.png").shape
        assert width == 24 * picture.UNIT_WIDTH
        assert height >= max(place["y"] + place["h"] for place in places) * picture.UNIT_HEIGHT

    def test_can_have_everything_that_the_dashboard_uses(self, name: str) -> None:
        for panel in monitoring.panels(monitoring.BOARDS[name]):
            defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
            set_alone = [each for override in overrides for each in override["properties"]]
            assert panel["type"] in picture.KINDS
            for unit in (defaults["unit"], *(each["value"] for each in set_alone if each["id"] == "unit")):
                assert written(1.0, unit)
            for step in defaults["thresholds"]["steps"]:
                assert colours.named(step["color"])
            for colour in (each["value"]["fixedColor"] for each in set_alone if each["id"] == "color"):
                assert colours.named(colour)
