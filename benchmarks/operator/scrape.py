"""What a scrape of the operator costs with many jobs: its time, series and bytes.

    .venv/bin/python benchmarks/operator/scrape.py --output benchmarks/operator/results/scrape.json

The text is the operator's own, with statuses as a training job of 16 workers has them after some recoveries, each of which
changed since the last scrape; what the changes themselves cost, spread over reconciles, is told apart. Beside it, in turns,
prometheus_client writes the same. Processor time is what counts on a machine that others use too.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import (
    Activity,
    CheckpointStatus,
    Condition,
    Goodput,
    Progress,
    RecoveryRecord,
    RecoveryStatus,
    TimeSpent,
    World,
)
from pretrain_operator.metrics import Metrics

_SPENT: tuple[Activity, ...] = ("Productive", "DataWait", "CheckpointStall", "Starting", "OtherStages", "Lost")
_PHASES = ("wait", "stop", "start", "join", "load")


def a_spec() -> PretrainJobSpec:
    """Of a job like any other."""
    return PretrainJobSpec.model_validate(
        {
            "storage": {"uri": "s3://bucket/run"},
            "data": {"sources": [{"name": "web", "documents": "s3://bucket/*.parquet"}]},
            "tokenizer": {"train": {"vocabSize": 32768}},
            "model": {"preset": "llama-125m"},
            "objective": {"causalLM": {}},
            "training": {"steps": 1000},
            "workers": {"min": 8, "max": 16},
        }
    )


def a_status(now: datetime) -> PretrainJobStatus:
    """Of a training that has been through something."""
    spent = [TimeSpent(activity=activity, seconds="1000.125") for activity in _SPENT]
    spent += [
        TimeSpent(activity="Recovery", rung=rung, phase=phase, seconds="1.5")
        for rung in ("Restart", "Shrink")
        for phase in _PHASES
    ]
    return PretrainJobStatus(
        state="Training",
        stage="Train",
        start_time=now - timedelta(hours=2),
        conditions=[Condition(type=kind, status="True") for kind in ("Running", "Checkpointed")],
        world=World(generation=3, workers=16, ready=15),
        progress=Progress(
            step=500, total_steps=1000, loss="3.25", tokens_per_second=123456, data_wait_ratio="0.0123",
            mfu_ratio="0.412", estimated_completion_time=now + timedelta(hours=2), update_time=now,
        ),
        checkpoint=CheckpointStatus(step=490, time=now - timedelta(minutes=3)),
        recovery=RecoveryStatus(
            failures=1, disruptions=2, restarts=3,
            last_recovery=RecoveryRecord(kind="Shrink", seconds="1.25", lost_steps=1),
        ),
        goodput=Goodput(until=now, spent=spent, stood=spent[:3]),
    )  # fmt: skip


def main() -> None:
    """Scrape again and again; print, and write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--scrapes", type=int, default=100)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    metrics, spec, status = Metrics(), a_spec(), a_status(datetime.now(UTC))

    def show() -> None:
        for number in range(options.jobs):
            metrics.jobs.show((f"team-{number % 20}", f"job-{number}"), status.model_copy(), spec)

    library = CollectorRegistry()
    library.register(metrics.jobs)
    show()
    text, _ = metrics.text()
    took: dict[str, list[tuple[float, float]]] = {"library": [], "scrape": [], "changes": []}
    for _ in range(options.scrapes):
        took["library"].append(_timed(lambda: generate_latest(library)))
        took["changes"].append(_timed(show))
        took["scrape"].append(_timed(metrics.text))
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    result = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "loadAverage": os.getloadavg()[0]},
        "python": platform.python_version(),
        "prometheusClient": version("prometheus-client"),
        "jobs": options.jobs,
        "series": series,
        "seriesOfAJob": round(series / options.jobs, 1),
        "bytes": len(text),
        "seconds": {name: _spread([wall for wall, _ in each]) for name, each in took.items()},
        "processorSeconds": {name: _spread([own for _, own in each]) for name, each in took.items()},
    }
    print(json.dumps(result, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


def _timed(act: Callable[[], object]) -> tuple[float, float]:
    """Seconds and seconds of processor time."""
    began, own = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - began, time.process_time() - own


def _spread(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"median": cuts[49], "p90": cuts[89], "p99": cuts[98]}


if __name__ == "__main__":
    main()
