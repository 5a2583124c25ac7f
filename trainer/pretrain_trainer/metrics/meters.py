"""What a rank and an agent write down for Prometheus. Decides nothing, and a training that nobody watches has none of it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from pretrain_api.metrics import counter, gauge, histogram, is_measured
from pretrain_trainer.data.patience import Counts
from pretrain_trainer.metrics import declared

if TYPE_CHECKING:
    from pretrain_trainer.training.checkpoints import Written
    from pretrain_trainer.training.history import StepFigures

_MEMORY_SECONDS = 5.0
"""Between two looks at how much memory there is."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Meters:
    """Of one rank; `job` is namespace and name."""

    def __init__(self, job: tuple[str, str], rank: int) -> None:
        registry, self._job, self._rank = CollectorRegistry(), job, rank
        self._step = histogram(declared.STEP, registry).labels(*job)
        phases = histogram(declared.PHASE, registry)
        self._phases = {phase: phases.labels(*job, phase) for phase in declared.PHASES}
        self._write = histogram(declared.CHECKPOINT, registry).labels(*job)
        self._written = counter(declared.CHECKPOINT_BYTES, registry).labels(*job)
        memory = gauge(declared.MEMORY, registry)
        self._resident, self._device = (memory.labels(*job, str(rank), kind) for kind in ("resident", "device"))
        self._memory_due = 0.0
        self._requests, self._hedges, self._faults, self._bytes = (
            counter(each, registry).labels(*job)
            for each in (declared.REQUESTS, declared.HEDGES, declared.FAULTS, declared.READ_BYTES)
        )
        self._counted = Counts()

    def stepped(self, seconds: float, phases: Mapping[str, float], device_bytes: int) -> None:
        """One step of this rank: its seconds, those of its phases, and the most memory that its device had allocated."""
        self._step.observe(seconds)
        for phase, own in phases.items():
            self._phases[phase].observe(own)
        if time.monotonic() >= self._memory_due:
            self._memory_due = time.monotonic() + _MEMORY_SECONDS
            self._resident.set(int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES)
            self._device.set(device_bytes)

    def read(self, counts: Counts) -> None:
        """What reading has cost since the last call. Counts that began again are those of another reader."""
        before = self._counted if counts.requests >= self._counted.requests else Counts()
        self._requests.inc(counts.requests - before.requests)
        self._hedges.inc(counts.hedges - before.hedges)
        self._faults.inc(counts.faults - before.faults)
        self._bytes.inc(counts.bytes - before.bytes)
        self._counted = Counts(counts.requests, counts.hedges, counts.faults, counts.bytes)

    def wrote(self, written: Written) -> None:
        """This rank's part of a checkpoint."""
        self._write.observe(written.seconds)
        self._written.inc(written.bytes)


class FirstMeters:
    """Of what only the first rank knows."""

    def __init__(self, job: tuple[str, str], world_size: int) -> None:
        registry, self._job = CollectorRegistry(), job
        self._steps, self._samples, self._tokens, self._skipped, self._stand_ins = (
            counter(each, registry).labels(*job)
            for each in (
                declared.STEPS, declared.SAMPLES, declared.TOKENS, declared.SKIPPED, declared.STAND_INS
            )
        )  # fmt: skip
        self._gauges = {
            name: gauge(metric, registry).labels(*job)
            for name, metric in (
                ("loss", declared.LOSS),
                ("gradientNorm", declared.GRADIENT_NORM),
                ("learningRate", declared.LEARNING_RATE),
                ("tokensPerSecond", declared.TOKENS_PER_SECOND),
                ("mfuRatio", declared.MFU),
                ("slowTimes", declared.SLOW),
            )
        }
        self._by_source = gauge(declared.SOURCE_LOSS, registry)
        gauge(declared.WORLD, registry).labels(*job).set(world_size)

    def stepped(self, figures: StepFigures, samples: int, tokens: int, told: Mapping[str, float]) -> None:
        """A step of so many samples and tokens. `told`: the figures that go to the operator, so that both say the same."""
        self._steps.inc()
        self._samples.inc(samples)
        self._tokens.inc(tokens)
        self._skipped.inc(figures.skipped)
        self._stand_ins.inc(len(figures.read.stand_ins))
        for name, instrument in self._gauges.items():
            if name in told:
                instrument.set(told[name])
        for source, loss in figures.by_source.items():
            if math.isfinite(loss):
                self._by_source.labels(*self._job, source).set(loss)


class AgentMeters:
    """Of the agent of a worker's ranks."""

    def __init__(self, job: tuple[str, str]) -> None:
        breaks = counter(declared.BREAKS_TOTAL, CollectorRegistry())
        self._breaks = {reason: breaks.labels(*job, reason) for reason in declared.BREAKS}

    def broke_off(self, reason: str) -> None:
        """All ranks begin again: one was killed or hangs, or the roster is another one."""
        self._breaks[reason].inc()


def of_agent(job: tuple[str, str]) -> AgentMeters | None:
    """Those of an agent, where somebody watches."""
    return AgentMeters(job) if is_measured() else None
