"""What the plots show, as data."""

import json

import numpy as np
import pytest

from pretrain_trainer.reporting import plots
from pretrain_trainer.reporting.columns import columns_of


def steps(count: int) -> list[dict]:
    return [
        {
            "step": n,
            "loss": None if n == 3 else 5 / n,
            "tokens": n,
            "learningRate": 1e-3,
            "gradientNorm": 1.0,
            "tokensPerSecond": 10.0,
            "secondsPerStep": 0.0 if n == 4 else 2.0,
            "dataWaitSeconds": 0.5,
            "bySource": {"web": 5 / n},
            **({"validation": {"web": 6 / n}} if n % 100 == 0 else {}),
        }
        for n in range(1, count + 1)
    ]


class TestTraining:
    def test_a_run_without_steps_has_no_plots(self) -> None:
        assert plots.training(columns_of([]), ["web"]) == []

    def test_a_long_run_is_thinned_and_stays_valid_json(self) -> None:
        drawn = plots.training(columns_of(steps(9000)), ["web", "absent"])
        assert [plot.id for plot in drawn] == ["loss", "learning-rate", "gradient-norm", "throughput", "data-wait"]
        for plot in drawn:
            json.dumps(plot.figure(), allow_nan=False)
            assert all(len(trace["x"]) == len(trace["y"]) <= plots.MOST_POINTS for trace in plot.traces)

    def test_validation_is_drawn_where_it_was_measured(self) -> None:
        loss = plots.training(columns_of(steps(400)), ["web"])[0]
        (validation,) = [trace for trace in loss.traces if trace["name"] == "web, validation"]
        assert validation["x"] == [100, 200, 300, 400]


class TestRunningMean:
    def test_keeps_a_constant_and_bridges_gaps(self) -> None:
        values = np.full(500, 2.0)
        values[100:105] = np.nan
        assert plots.running_mean(values) == pytest.approx(np.full(500, 2.0))

    def test_of_nothing_known_is_nothing_known(self) -> None:
        assert np.isnan(plots.running_mean(np.full(10, np.nan))).all()


class TestLengths:
    def test_lengths_of_all_sources_share_one_axis_in_order(self) -> None:
        (plot,) = plots.document_lengths({"a": {"512": 1, "64": 3}, "b": {"1024": 2}})
        assert [trace["x"] for trace in plot.traces] == [["64", "512", "1,024"]] * 2
        assert [trace["y"] for trace in plot.traces] == [[75, 25, 0], [0, 0, 100]]

    def test_nothing_to_count_is_no_plot(self) -> None:
        assert plots.document_lengths({}) == []
