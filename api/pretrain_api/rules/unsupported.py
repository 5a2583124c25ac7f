"""What the types know and this version cannot do yet. Each row is one field; asking for it is an error, never silence.

An API server takes these fields, so that a manifest need not change once they work.
"""

from collections.abc import Callable, Iterable, Iterator

from pretrain_api.problems import Path
from pretrain_api.rules.base import Finding, Rule
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.workers import WorkerTemplate

CODE = "not-supported-yet"

Row = tuple[Path, Callable[[PretrainJobSpec], object], str]
"""Field below spec, whether the job asks for it, what to write instead."""

_ONE_MACHINE = "Write 1: this version trains on one machine; workers.processesPerWorker uses all of its GPUs."
_CAUSAL = "Write objective: {causalLM: {}}."
_ADAMW = "Write optimizer: {adamw: {}}."
_REMOVE = "Remove it."

_ROWS: tuple[Row, ...] = (
    (("storage", "secretRef"), lambda s: s.storage.secret_ref,
     "Remove it and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment."),
    (("objective", "maskedLM"), lambda s: s.objective.masked_lm, _CAUSAL),
    (("objective", "spanCorruption"), lambda s: s.objective.span_corruption, _CAUSAL),
    (("objective", "prefixLM"), lambda s: s.objective.prefix_lm, _CAUSAL),
    (("objective", "clip"), lambda s: s.objective.clip, _CAUSAL),
    (("objective", "mae"), lambda s: s.objective.mae, _CAUSAL),
    (("objective", "simclr"), lambda s: s.objective.simclr, _CAUSAL),
    (("objective", "dino"), lambda s: s.objective.dino, _CAUSAL),
    (("training", "optimizer", "muon"), lambda s: s.training.optimizer.muon, _ADAMW),
    (("training", "optimizer", "lars"), lambda s: s.training.optimizer.lars, _ADAMW),
    (("workers", "min"), lambda s: s.workers.min > 1, _ONE_MACHINE),
    (("workers", "max"), lambda s: s.workers.max > 1, _ONE_MACHINE),
    (("workers", "spares"), lambda s: s.workers.spares > 0, "Write 0."),
    (("workers", "resources"), lambda s: s.workers.resources.limits or s.workers.resources.requests, _REMOVE),
    (("workers", "template"), lambda s: s.workers.template != WorkerTemplate(), _REMOVE),
    (("recovery", "hangTimeoutSeconds"), lambda s: s.recovery.hang_timeout_seconds > 0, "Write 0."),
    (("scheduling", "queueName"), lambda s: s.scheduling.queue_name, _REMOVE),
    (("scheduling", "gang"), lambda s: s.scheduling.gang, _REMOVE),
    (("scheduling", "priorityClassName"), lambda s: s.scheduling.priority_class_name, _REMOVE),
    (("ttlSecondsAfterFinished",), lambda s: s.ttl_seconds_after_finished is not None,
     "Remove it; delete the folder of storage.uri by hand."),
)  # fmt: skip


def _unsupported(spec: PretrainJobSpec) -> Iterator[Finding]:
    what = "not supported by this version."
    for i, source in enumerate(spec.data.sources):
        if source.shards:
            yield ("spec", "data", "sources", i, "shards"), what, "Write documents: with the raw documents."
    for path, asked_for, instead in _ROWS:
        if asked_for(spec):
            yield ("spec", *path), what, instead


def paths() -> Iterable[Path]:
    """The fields below spec that this version does not support, for the reference."""
    return [("data", "sources", "shards"), *(row[0] for row in _ROWS)]


RULES = (Rule(CODE, "spec", _unsupported),)
