"""The declarations of both programs, by the conventions of Prometheus (promtool looks at the real thing in
tests/integration/test_metrics.py)."""

import pytest

from pretrain_api.metrics import Metric
from pretrain_operator.metrics import declared as operator
from pretrain_trainer.metrics import declared as trainer

METRICS = (*operator.METRICS, *trainer.METRICS)


def test_no_name_is_declared_twice() -> None:
    names = [metric.name for metric in METRICS]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_says_what_it_is(metric: Metric) -> None:
    assert metric.name.startswith(("pretrain_operator_", "pretrain_job_", "pretrain_train_"))
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not any(unit in metric.name for unit in ("milli", "minutes", "percent", "_mb", "kilo"))
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.text.endswith((".", "always 1."))


@pytest.mark.parametrize("metric", [m for m in METRICS if m.kind == "histogram"], ids=lambda metric: metric.name)
def test_a_histogram_is_of_seconds(metric: Metric) -> None:
    assert metric.name.endswith("_seconds")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_no_label_has_a_value_for_each_worker_or_step(metric: Metric) -> None:
    assert not {"pod", "uid", "worker", "node", "step", "message"} & set(metric.labels)
