"""Prometheus' text formats for series of very many jobs, byte for byte what prometheus_client writes. What is said is not
decided here.

Most of a line is the same at each scrape, and the work of writing it is all in its labels: they are written once by the
library, with marks where namespace and job stand.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from functools import cache, lru_cache

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pretrain_api.metrics import Metric

Key = tuple[str, str]
"""Namespace and name of a job."""
Family = GaugeMetricFamily | CounterMetricFamily
EOF = "# EOF\n"
"""The last line of a text in the format OpenMetrics."""
_MARK = "\0"
"""In the place of a name. Names in Kubernetes, and so what is put there, need no escapes."""
_KINDS = 4096
"""Combinations of labels beside the job's own whose lines are kept; some hundred are usual."""


def family(metric: Metric) -> Family:
    """The metric without samples."""
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name.removesuffix("_total"), metric.text, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)


@cache
def head(metric: Metric, is_open: bool = False) -> str:
    """What stands above its lines. `is_open`: in the format OpenMetrics, which has the same lines."""
    write = openmetrics.generate_latest if is_open else generate_latest
    return write(_only(family(metric))).decode().removesuffix(EOF)


def line(metric: Metric, job: Key, labels: tuple[str, ...], value: float) -> str:
    """A sample of a job. `labels`: values of those behind the job's own."""
    first, second, last = _around(metric, labels)
    number = floatToGoString(value)  # type: ignore[no-untyped-call] # it has no annotations
    return f"{first}{job[0]}{second}{job[1]}{last}{number}\n"


@lru_cache(_KINDS)
def _around(metric: Metric, labels: tuple[str, ...]) -> tuple[str, str, str]:
    """What stands before, between and behind the names in a line."""
    one = family(metric)
    one.add_metric((_MARK, _MARK, *labels), 0)
    text = generate_latest(_only(one)).decode()
    first, second, last = text.removeprefix(head(metric)).removesuffix("0.0\n").split(_MARK)
    return first, second, last


def _only(one: Family) -> CollectorRegistry:
    class Only(Collector):
        def collect(self) -> list[Family]:
            return [one]

    registry = CollectorRegistry()
    registry.register(Only())
    return registry
