"""docs/reference/metrics.md, from the declarations of both programs."""

from collections.abc import Iterator, Sequence

from pretrain_api.cluster import METRICS_PORT
from pretrain_api.metrics import JOB, OTHER, Metric
from pretrain_operator.metrics import declared as operator
from pretrain_trainer.metrics import declared as trainer

_SECTIONS: Sequence[tuple[str, str, Sequence[Metric]]] = (
    (
        "The operator",
        "Of the process itself, and sums over all jobs. They begin again with the process.",
        operator.OF_PROCESS,
    ),
    (
        "Jobs",
        "Read from the status of each job when Prometheus asks. Of a job that has ended, info and state are left; of one that "
        "was deleted, nothing.",
        operator.OF_JOBS,
    ),
    (
        "Training workers",
        "Sums over the ranks of a worker, which add up over the restarts of a pod's ranks and begin again with the pod.",
        trainer.OF_RANKS,
    ),
    ("The first rank", "Known to rank 0 alone: served by the worker that it is on.", trainer.OF_FIRST),
)


def page(note: str) -> str:
    """The page as text."""
    return "\n".join(_lines(note)) + "\n"


def _lines(note: str) -> Iterator[str]:
    yield f"<!-- {note} -->\n# Metrics\n"
    yield (
        "The operator answers Prometheus at `--metrics-address`, every training pod at its port `metrics` "
        f"({METRICS_PORT}), `pretrain run --metrics-port PORT` for its one job: at `/metrics` each. Series of a job have the "
        f"labels `{JOB[0]}` and `{JOB[1]}`; scrape the operator with `honorLabels: true`, as the chart's monitors do, so that "
        "they stay what they are. A job's goodput is explained in [goodput](goodput.md).\n"
    )
    yield (
        "A job has about 40 series at the operator, each training worker about 150, most of them buckets, and three more for "
        "each further rank. Labels have bounded values: what is not among those of a list is "
        f"`{OTHER}`.\n"
    )
    yield (
        "A scraper that accepts OpenMetrics finds exemplars beside the operator's histograms: `trace_id` where reconciles and "
        "recoveries are [traced](../how-to/monitor.md#traces-with-opentelemetry), `pretrainjob`, and `namespace` unless names "
        "are too long for it. Ranks write for one endpoint from several processes, where prometheus_client has none.\n"
    )
    for title, text, metrics in _SECTIONS:
        yield f"## {title}\n\n{text}\n\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |"
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels if label not in JOB)
            yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text} |"
        yield ""
    yield "## Values of labels\n\n| label | values |\n| --- | --- |"
    for label, values in (
        ("kind` of `pretrain_operator_failures_total", (*operator.FAILURES, OTHER)),
        ("phase` of `pretrain_train_step_phase_seconds", trainer.PHASES),
        ("reason` of `pretrain_train_breaks_total", trainer.BREAKS),
    ):
        yield f"| `{label}` | {', '.join(f'`{value}`' for value in values)} |"
