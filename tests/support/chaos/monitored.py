"""What a Prometheus sees of a chaos run: which questions of dashboards and rules have an answer, which alerts fire, pictures."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import charts, monitoring
from support.cluster import programs
from support.cluster.cluster import DevelopmentCluster
from support.cluster.discovery import scraped
from support.cluster.prometheus import Prometheus
from support.cluster.remote_job import RemoteJob
from support.dashboards import picture
from support.dashboards.answers import Span

_SCRAPE_SECONDS = 2
_LOST = ("rank killed", "pod deleted", "pod deleted by force", "pod evicted")
NEEDS: Mapping[str, Collection[str]] = {
    # The peak of a processor is not known.
    "Pretrain / Fleet / MFU": (),
    "Pretrain / Job / MFU": (),
    # It neither fails for good nor waits for a person, and does not work for half an hour.
    'PretrainJobFailed watches pretrain_job_state{state="Failed"}': (),
    'PretrainJobStalled watches pretrain_job_condition{type="Stalled"}': (),
    "PretrainJobGoodputLow watches namespace_pretrainjob:pretrain_job_goodput:ratio_1h": (),
    # It may come back between two scrapes.
    'PretrainJobRecovering watches pretrain_job_state{state="Recovering"}': (),
    'namespace_pretrainjob:pretrain_job_idle:timestamp watches pretrain_job_state{state="Recovering"}': (),
    # A start that ends costs budget; most faults end none.
    "Pretrain / Job / mark Failure": (),
    "Pretrain / Recovery / Failures by kind": (),
    "Pretrain / Recovery / Newest recovery": _LOST,
    "Pretrain / Recovery / Steps made anew": _LOST,
    "Pretrain / Recovery / Recovery time by phase": _LOST,
    "Pretrain / Recovery / How long recoveries take": _LOST,
    "Pretrain / Recovery / Phases of a recovery": _LOST,
}
"""Questions that may have no answer, and the events that surely give them one."""


@dataclass(frozen=True)
class Monitored:
    """The Prometheus of a run, and since when it scrapes (Unix time)."""

    prometheus: Prometheus
    began: float

    def unanswered(self) -> set[str]:
        """Who asked in vain throughout the run."""
        end = time.time()
        return {
            who
            for who, expression in _questions()
            if not self.prometheus.over(expression, self.began, end, _SCRAPE_SECONDS)
        }

    def fired(self) -> set[str]:
        """Alerts that have."""
        found = self.prometheus.over('ALERTS{alertstate="firing"}', self.began, time.time(), _SCRAPE_SECONDS)
        return {each["metric"]["alertname"] for each in found}

    def draw(self, folder: Path, job: RemoteJob) -> None:
        """Each dashboard as it would be seen now."""
        span = Span(self.began, time.time(), _SCRAPE_SECONDS, job.namespace, job.name)
        for name, board in monitoring.BOARDS.items():
            picture.draw(folder / f"{name}.png", board, self.prometheus, span)


def unexplained(unanswered: Collection[str], happened: Collection[str]) -> set[str]:
    """Questions that should have had an answer after these events."""
    return {who for who in unanswered if who not in NEEDS or set(NEEDS[who]) & set(happened)}


@contextmanager
def monitored(cluster: DevelopmentCluster) -> Iterator[Monitored]:
    """A Prometheus with our rules that scrapes what the chart's PodMonitors mean, while the block runs."""
    each = {"enabled": True, "interval": f"{_SCRAPE_SECONDS}s"}
    rendered = charts.render(str(programs.find("helm")), {"metrics": {"podMonitor": each, "jobs": each}})
    with scraped(cluster.prometheus, cluster.kubectl, rendered.all("PodMonitor"), monitoring.RULES):
        yield Monitored(cluster.prometheus, time.time())


def _questions() -> Iterator[tuple[str, str]]:
    for board in monitoring.BOARDS.values():
        yield from monitoring.asked(board)
    for rule in monitoring.rules():
        yield from monitoring.watched(rule)
