"""Rules of the training stage: its length, its batch, and the ranks that share it."""

from collections.abc import Iterator

from pretrain_api.nouns import counted, noun
from pretrain_api.rules.base import Finding, Rule, exactly_one, ordered
from pretrain_api.run_length import run_length, warmup_steps
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.training import Training

_TRAINING = ("spec", "training")


def _has_length(training: Training) -> bool:
    return sum(value is not None for value in (training.tokens, training.samples, training.steps)) == 1


def _one_batch(spec: PretrainJobSpec) -> Iterator[Finding]:
    training = spec.training
    batch = training.global_batch_size
    if not _has_length(training):
        return
    if training.tokens is not None and training.tokens < batch * training.sequence_length:
        tokens = batch * training.sequence_length
        what = f"{training.tokens} {noun(training.tokens, 'token is', 'tokens are')} fewer than one batch ({batch} samples of {training.sequence_length} tokens)."
        yield (*_TRAINING, "tokens"), what, f"Write tokens: {tokens} or more, or lower globalBatchSize."
    if training.samples is not None and training.samples < batch:
        what = (
            f"{training.samples} {noun(training.samples, 'sample is', 'samples are')} fewer than one batch ({batch})."
        )
        yield (*_TRAINING, "samples"), what, f"Write samples: {batch} or more, or lower globalBatchSize."


def _warmup(spec: PretrainJobSpec) -> Iterator[Finding]:
    training, schedule = spec.training, spec.training.schedule
    if not _has_length(training):
        return
    steps = run_length(training).steps
    warmup = warmup_steps(schedule, steps)
    path = (*_TRAINING, "schedule", "warmupSteps")
    instead = f"Write warmupSteps: {max(1, steps // 10)}, a tenth of the run, or make the run longer."
    if warmup > steps:
        yield path, f"warmupSteps is {warmup}, but the run has {counted(steps, 'step')}.", instead
    elif schedule.decay == "wsd" and warmup + round(schedule.decay_fraction * steps) > steps:
        decay = round(schedule.decay_fraction * steps)
        what = f"{warmup} warm-up and {decay} decay steps are more than the run's {steps}."
        yield path, what, f"Write warmupSteps: {steps - decay} or less, or lower decayFraction."


def _micro_batch(spec: PretrainJobSpec) -> Iterator[Finding]:
    training = spec.training
    if training.micro_batch_size and training.micro_batch_size > training.global_batch_size:
        what = f"microBatchSize is {training.micro_batch_size}, above globalBatchSize ({training.global_batch_size})."
        instead = f"Write microBatchSize: {training.global_batch_size} or less, or leave it out."
        yield (*_TRAINING, "microBatchSize"), what, instead


def _ranks(spec: PretrainJobSpec) -> Iterator[Finding]:
    ranks = spec.workers.max * spec.workers.processes_per_worker
    if spec.training.global_batch_size < ranks:
        what = (
            f"globalBatchSize is {spec.training.global_batch_size}, fewer than the {ranks} ranks (workers.max "
            f"{spec.workers.max} x processesPerWorker {spec.workers.processes_per_worker}) that share a batch."
        )
        yield (*_TRAINING, "globalBatchSize"), what, f"Write globalBatchSize: {ranks} or more, or fewer ranks."


def _spares(spec: PretrainJobSpec) -> Iterator[Finding]:
    if spec.workers.spares and (spec.scheduling.queue_name or spec.scheduling.gang):
        what = f"spares is {spec.workers.spares}, but workers in a queue or gang are never replaced one by one."
        yield ("spec", "workers", "spares"), what, "Write spares: 0, or leave out scheduling.queueName and gang."


def _shard(spec: PretrainJobSpec) -> Iterator[Finding]:
    shard, processes = spec.training.parallelism.shard, spec.workers.processes_per_worker
    for name, workers in (("min", spec.workers.min), ("max", spec.workers.max)):
        ranks = workers * processes
        if ranks % shard:
            fitting = max(n for n in range(1, min(shard, ranks) + 1) if ranks % n == 0)
            what = (
                f"shard is {shard}, which does not divide the {counted(ranks, 'rank')} of workers.{name} {workers} "
                f"x processesPerWorker {processes}."
            )
            yield (*_TRAINING, "parallelism", "shard"), what, f"Write shard: {fitting}, or change the workers."
            return


RULES = (
    exactly_one("training-length", "spec.training", "steps: 1000", "tokens", "samples", "steps"),
    exactly_one("optimizer-kind", "spec.training.optimizer", "adamw: {learningRate: 3.0e-4}", "adamw", "muon", "lars"),
    Rule(
        "run-below-one-batch",
        "spec.training",
        _one_batch,
        cel="(!has(self.tokens) || self.tokens >= self.globalBatchSize * self.sequenceLength)"
        " && (!has(self.samples) || self.samples >= self.globalBatchSize)",
        message="The run is shorter than one batch. Raise tokens or samples, or lower globalBatchSize.",
    ),
    Rule(
        "warmup-longer-than-run",
        "spec.training",
        _warmup,
        cel="!has(self.steps) || !has(self.schedule.warmupSteps) || self.schedule.warmupSteps <= self.steps",
        message="schedule.warmupSteps is above steps. Write warmupSteps: a tenth of the run.",
        field="schedule.warmupSteps",
    ),
    Rule(
        "micro-batch-above-batch",
        "spec.training",
        _micro_batch,
        cel="!has(self.microBatchSize) || self.microBatchSize <= self.globalBatchSize",
        message="microBatchSize is above globalBatchSize. Write a smaller microBatchSize, or leave it out.",
        field="microBatchSize",
    ),
    Rule(
        "batch-below-ranks",
        "spec",
        _ranks,
        cel="self.training.globalBatchSize >= self.workers.max * self.workers.processesPerWorker",
        message="training.globalBatchSize is below workers.max x processesPerWorker: ranks would have no sample."
        " Raise globalBatchSize or lower the number of ranks.",
        field="training.globalBatchSize",
    ),
    Rule(
        "shard-not-dividing",
        "spec",
        _shard,
        cel="(self.workers.min * self.workers.processesPerWorker) % self.training.parallelism.shard == 0"
        " && (self.workers.max * self.workers.processesPerWorker) % self.training.parallelism.shard == 0",
        message="training.parallelism.shard does not divide the ranks, workers.min and workers.max x processesPerWorker."
        " Write a divisor of both.",
        field="training.parallelism.shard",
    ),
    Rule(
        "spares-in-a-group",
        "spec",
        _spares,
        cel="self.workers.spares == 0 || ((!has(self.scheduling.queueName) || self.scheduling.queueName == '') && !has(self.scheduling.gang))",
        message="workers.spares is above 0, but workers in a queue or gang are placed together and never replaced one by one."
        " Write spares: 0, or leave out scheduling.queueName and gang.",
        field="workers.spares",
    ),
    ordered("workers-min-above-max", "spec.workers", "min", "max"),
    exactly_one("gang-kind", "spec.scheduling.gang", "native: {}", "native", "volcano", "coscheduling"),
)
