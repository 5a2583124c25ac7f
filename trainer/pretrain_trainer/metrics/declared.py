"""Every metric of training workers. `docs/reference/metrics.md` is made from this; nothing is measured here.

What only the first rank knows, the worker that it is on serves; the rest are sums over the ranks of a worker.
"""

from pretrain_api.metrics import JOB, Metric

PHASES = ("data", "forward", "backward", "collective", "optimizer", "checkpoint", "evaluation")
"""Of a step. `collective`: reducing gradients and figures, with the wait for slower ranks in it."""
BREAKS = ("killed", "hang", "roster")
"""For what all ranks began again."""
_STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_CHECKPOINT_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"pretrain_train_{name}", "gauge", text, (*JOB, *labels))


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"pretrain_train_{name}_total", "counter", text, (*JOB, *labels))


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(f"pretrain_train_{name}", "histogram", text, (*JOB, *labels), buckets)


STEP = _histogram("step_seconds", "One optimizer step of a rank, pauses included.", _STEP_SECONDS)
PHASE = _histogram("step_phase_seconds", "Parts of that step; what is in none is the rest.", _STEP_SECONDS, "phase")
CHECKPOINT = _histogram(
    "checkpoint_write_seconds", "A rank's writing of a checkpoint beside training.", _CHECKPOINT_SECONDS
)
CHECKPOINT_BYTES = _counter("checkpoint_bytes", "Bytes that checkpoints took.")
MEMORY = _gauge("memory_bytes", "Memory of a rank: resident in the machine, or at most allocated on the device.", "rank", "kind")  # fmt: skip
REQUESTS = _counter("data_requests", "Reads of shards that were asked of a store.")
HEDGES = _counter("data_hedges", "Of those, second ones beside a read that was late.")
FAULTS = _counter("data_faults", "Reads that failed, or whose bytes were damaged on the way; they are repeated.")
READ_BYTES = _counter("data_read_bytes", "Bytes of shards that a store sent.")
BREAKS_TOTAL = _counter("breaks", "How often an agent began again with its ranks, by the reason.", "reason")

STEPS = _counter("steps", "Optimizer steps, those included that were made again.")
SAMPLES = _counter("samples", "Samples in these steps.")
TOKENS = _counter("tokens", "Tokens in these steps; none where images are learned from.")
SKIPPED = _counter("skipped_steps", "Steps whose loss or gradient was not finite.")
STAND_INS = _counter("stand_in_samples", "Samples of quarantined records, which count in no loss.")
WORLD = _gauge("world_size", "Ranks that train together.")
LOSS = _gauge("loss", "Loss of the newest step, in nats per predicted token.")
SOURCE_LOSS = _gauge("source_loss", "The same by source of the mixture.", "source")
GRADIENT_NORM = _gauge("gradient_norm", "Norm of the gradient before clipping.")
LEARNING_RATE = _gauge("learning_rate", "Learning rate of the newest step.")
TOKENS_PER_SECOND = _gauge("tokens_per_second", "Throughput of all ranks in the newest step.")
MFU = _gauge("mfu_ratio", "Model FLOPs utilisation in the newest step, where the peak of the devices is known.")
SLOW = _gauge("slowest_rank_ratio", "Time of the slowest rank over the median; 1 where none stands out.")

OF_RANKS = (
    STEP, PHASE, CHECKPOINT, CHECKPOINT_BYTES, MEMORY, REQUESTS, HEDGES, FAULTS, READ_BYTES, BREAKS_TOTAL
)  # fmt: skip
OF_FIRST = (
    STEPS, SAMPLES, TOKENS, SKIPPED, STAND_INS, WORLD, LOSS, SOURCE_LOSS, GRADIENT_NORM, LEARNING_RATE, TOKENS_PER_SECOND, MFU, SLOW
)  # fmt: skip
METRICS = (*OF_RANKS, *OF_FIRST)
