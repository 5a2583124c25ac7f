"""Every metric of the operator. `docs/reference/metrics.md` is made from this; nothing is measured here."""

from pretrain_api.metrics import JOB, Metric

FAILURES = ("Exit", "Signal", "OutOfMemory", "NonFinite", "UserError", "Hang", "Join", "DiskFull", "Corruption")
"""Kinds of failures that are told apart."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RECOVERY_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 45.0, 90.0, 300.0)


def _of_job(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"pretrain_job_{name}", "counter" if name.endswith("_total") else "gauge", text, (*JOB, *labels))


JOBS = Metric("pretrain_operator_jobs", "gauge", "PretrainJobs that are known.")
LEADING = Metric("pretrain_operator_leading", "gauge", "1 while this process leads.")
SILENCE = Metric("pretrain_operator_watch_silence_seconds", "gauge", "Since the quietest watch brought something.")
QUEUE = Metric("pretrain_operator_request_queue_depth", "gauge", "Requests to the API server that wait for their turn.")
ERRORS = Metric("pretrain_operator_errors_total", "counter", "Defects met in a reconcile.")
RECONCILE = Metric(
    "pretrain_operator_reconcile_seconds", "histogram", "Time of one reconcile of one job.", buckets=_SECONDS
)
REQUESTS = Metric(
    "pretrain_operator_api_requests_total", "counter", "Requests to the API server, by their answer.", ("verb", "code")
)
FAILED = Metric("pretrain_operator_failures_total", "counter", "Failures of all jobs that were counted.", ("kind",))
RECOVERY = Metric(
    "pretrain_operator_recovery_seconds",
    "histogram",
    "Recoveries of all jobs, from the loss to the next step.",
    ("rung",),
    _RECOVERY_SECONDS,
)
RECOVERY_PHASE = Metric(
    "pretrain_operator_recovery_phase_seconds",
    "histogram",
    "Phases of these recoveries.",
    ("rung", "phase"),
    _RECOVERY_SECONDS,
)

INFO = _of_job("info", "A job and the stage at work, always 1.", "stage")
STATE = _of_job("state", "1 for the state of the job.", "state")
CONDITION = _of_job("condition", "1 for each condition of the job that is true.", "type")
WORKERS = _of_job("workers", "Training workers that are ready, and that are missing.", "phase")
GENERATION = _of_job("generation", "Number of the newest roster.")
STEP = _of_job("step", "Optimizer steps done.")
STEPS = _of_job("planned_steps", "Optimizer steps in all.")
LOSS = _of_job("loss", "Loss of the newest step that was told, in nats per predicted token.")
TOKENS_PER_SECOND = _of_job("tokens_per_second", "Throughput of all ranks in that step.")
MFU = _of_job("mfu_ratio", "Model FLOPs utilisation, where the peak of the hardware is known.")
DATA_WAIT = _of_job("data_wait_ratio", "Share of that step that was spent waiting for data.")
DOCUMENTS = _of_job("stage_documents", "Documents that a complete stage read, and that it kept.", "stage", "fate")
TEXT_BYTES = _of_job("stage_text_bytes", "The same in bytes of text.", "stage", "fate")
TIME_LEFT = _of_job(
    "time_left_seconds", "Until training ends, by its own estimate; it stands still when training is silent."
)
TIME_LEFT_ERROR = _of_job("time_left_error_seconds", "By how much that may be wrong, nine times of ten.")
PROGRESS_AGE = _of_job("progress_age_seconds", "Since training last told of a step.")
CHECKPOINT_AGE = _of_job("checkpoint_age_seconds", "Age of the newest checkpoint; of the training, while it has none.")
CHECKPOINT_INTERVAL = _of_job("checkpoint_interval_seconds", "How often a checkpoint is to be made.")
FAILURES_TOTAL = _of_job("failures_total", "Failures since the job began.")
DISRUPTIONS = _of_job("disruptions_total", "Disruptions since the job began: what others did to it.")
RESTARTS = _of_job("restarts_total", "How often ranks began again within a start: in place, or in another roster.")
WINDOW = _of_job("failures_in_window", "Failures that count towards the budget now.")
BUDGET = _of_job("failures_allowed", "The budget: with one more than so many the job ends.")
GOODPUT = _of_job("goodput_ratio", "Share of the time that turned into steps which stand.")
TIME = _of_job("time_seconds", "Where the time of the job went so far; may fall where steps were lost.", "activity")
RECOVERING = _of_job("recovery_time_seconds", "The part of it that was spent on recoveries.", "rung", "phase")
LAST_RECOVERY = _of_job("last_recovery_seconds", "The newest recovery, from the loss to the next step.", "rung")
LAST_LOST = _of_job("last_recovery_lost_steps", "Steps that it made anew.", "rung")

OF_JOBS = (
    INFO, STATE, CONDITION, WORKERS, GENERATION, DOCUMENTS, TEXT_BYTES, STEP, STEPS, LOSS, TOKENS_PER_SECOND, MFU, DATA_WAIT, TIME_LEFT,
    TIME_LEFT_ERROR, PROGRESS_AGE, CHECKPOINT_AGE, CHECKPOINT_INTERVAL, FAILURES_TOTAL, DISRUPTIONS, RESTARTS, WINDOW, BUDGET, GOODPUT,
    TIME, RECOVERING, LAST_RECOVERY, LAST_LOST,
)  # fmt: skip
OF_PROCESS = (
    JOBS, LEADING, SILENCE, QUEUE, ERRORS, RECONCILE, REQUESTS, FAILED, RECOVERY, RECOVERY_PHASE
)  # fmt: skip
METRICS = (*OF_PROCESS, *OF_JOBS)
