"""The operator itself: does it lead, does it see, and is it quick."""

from monitoring.panels import Board, Panel, happened, small

_RECONCILES = "pretrain_operator_reconcile_seconds"


def _quantile(share: float) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({_RECONCILES}_bucket[$__rate_interval])))"


BOARD = Board(
    "operator",
    "Pretrain / Operator",
    "The operator's own health.",
    (
        ("Is it there", (
            small(Panel("Leaders", "Processes that lead; one should.", (("sum(pretrain_operator_leading) or vector(0)", ""),),
                        limits=((1, "green"), (2, "red")), below="red")),
            small(Panel("Jobs", "PretrainJobs that it knows.", (("max(pretrain_operator_jobs)", ""),))),
            small(Panel("Silence", "Since its quietest watch brought something; bookmarks come every minute.",
                        (("max(pretrain_operator_watch_silence_seconds and pretrain_operator_leading == 1)", ""),), "s",
                        ((120, "orange"), (180, "red")))),
            small(Panel("Queue", "Requests to the API server that wait for their turn.",
                        (("max(pretrain_operator_request_queue_depth)", ""),), limits=((50, "orange"), (500, "red")))),
            small(Panel("Defects", "Of its own, within the chosen time.",
                        ((f"sum({happened('pretrain_operator_errors_total', '$__range')})", ""),), limits=((1, "red"),))),
            small(Panel("Reconciles", "Of all jobs, each second.",
                        ((f"sum(rate({_RECONCILES}_count[$__rate_interval]))", ""),), "ops")),
        )),
        ("How it works", (
            Panel("Time of a reconcile", "Median and slow end.", ((_quantile(0.5), "p50"), (_quantile(0.99), "p99")), "s",
                  ((0.5, "orange"), (2, "red"))),
            Panel("Requests by answer", "To the API server, each second; 409 is taken for an answer, 0 is none.",
                  (("sum by (code) (rate(pretrain_operator_api_requests_total[$__rate_interval]))", "{{code}}"),), "reqps",
                  kind="stacked"),
            Panel("Requests by verb", "To the API server, each second.",
                  (("sum by (verb) (rate(pretrain_operator_api_requests_total[$__rate_interval]))", "{{verb}}"),), "reqps",
                  kind="stacked"),
            Panel("Watches", "Silence of the quietest watch.",
                  (("pretrain_operator_watch_silence_seconds", "{{pod}} {{instance}}"),), "s", ((120, "orange"), (180, "red")),
                  width=12),
            Panel("Queue of requests", "How many wait for their turn.",
                  (("pretrain_operator_request_queue_depth", "{{pod}} {{instance}}"),), limits=((50, "orange"), (500, "red")),
                  width=12),
            Panel("Leader", "Green while a process leads.", (("pretrain_operator_leading", "{{pod}} {{instance}}"),),
                  limits=((1, "green"),), kind="states", width=24, height=5, below="#c7d0d9"),
        )),
    ),
    is_of_jobs=False,
)  # fmt: skip
