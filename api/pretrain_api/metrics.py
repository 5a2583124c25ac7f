"""How a metric is declared, and the endpoint that Prometheus scrapes. Which metrics there are, each program declares.

The ranks of a training write their figures into files of a folder, as prometheus_client does between processes; whoever
watches over them serves the sums. A program whose environment does not name the folder measures nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

ENV_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Folder of the files, by the name that prometheus_client has for it. Read when that is imported."""
JOB = ("namespace", "pretrainjob")
"""Labels of every series of a job. Not `job`, which Prometheus sets itself."""
OTHER = "Other"
"""Value of a label for whatever is not among its declared values."""


@dataclass(frozen=True)
class Metric:
    """A metric as it is scraped: base units, the name of a counter ends in `_total`."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    text: str
    """A sentence for people."""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without infinity."""


def gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    """The instrument of a gauge. Of one that several processes write, the newest value of those that live counts."""
    assert metric.kind == "gauge", metric
    return Gauge(metric.name, metric.text, metric.labels, registry=registry, multiprocess_mode="livemostrecent")


def counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    """The instrument of a counter."""
    assert metric.kind == "counter", metric
    return Counter(metric.name.removesuffix("_total"), metric.text, metric.labels, registry=registry)


def histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    """The instrument of a histogram."""
    assert metric.kind == "histogram", metric
    return Histogram(metric.name, metric.text, metric.labels, buckets=metric.buckets, registry=registry)


def bounded(value: str, known: Sequence[str]) -> str:
    """A value of a label that may only have these, or OTHER."""
    return value if value in known else OTHER


class OfProcesses(MultiProcessCollector):
    """What the processes wrote into the files of a folder."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        super().__init__(registry, str(folder))  # type: ignore[no-untyped-call]
        self._folder = folder

    def collect(self) -> Iterator[Family]:
        # A rank that was killed says no more what it is at; what it counted stays.
        for file in self._folder.glob("gauge_live*.db"):
            pid = file.stem.rpartition("_")[2]
            if not Path("/proc", pid).exists():
                mark_process_dead(int(pid), str(self._folder))  # type: ignore[no-untyped-call]
        yield from super().collect()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def served(registry: CollectorRegistry, port: int, host: str = "") -> Iterator[int]:
    """Answer Prometheus for as long as the block runs, on a thread; gives the port, which is free where 0 was asked for.

    Raises OSError where the port is not to be had. An empty host: all addresses of this machine.
    """
    server, thread = start_http_server(port, host or "0.0.0.0", registry)
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def is_measured() -> bool:
    """Whether this process was told to write its figures."""
    return bool(os.environ.get(ENV_FOLDER))
