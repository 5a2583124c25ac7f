"""The training loop: the story of a run. What differs between runs is in the parts that it is given."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pretrain_api.commits import WeightSegment
from pretrain_api.ledger import StepRead
from pretrain_api.objectives import needs, tokens_per_sample
from pretrain_api.recoveries import Recovery
from pretrain_api.run_length import RunLength
from pretrain_api.types import PretrainJobSpec
from pretrain_trainer.agent.board import Phase, at, is_called_together, mark
from pretrain_trainer.context import StageContext, Stopped
from pretrain_trainer.data.batches import Batch as RankBatch
from pretrain_trainer.data.batches import GlobalBatches
from pretrain_trainer.data.order import Mixture
from pretrain_trainer.data.waits import Waits
from pretrain_trainer.objectives import Batch, Moment, Objective, Passes
from pretrain_trainer.process import heed_no_more_signals
from pretrain_trainer.training import going_back, ledger, recoveries, shown, watched
from pretrain_trainer.training.checkpoints import Checkpoints, Position, model_tensors
from pretrain_trainer.training.evaluation import Validation
from pretrain_trainer.training.gradients import Gradients, clip_factor
from pretrain_trainer.training.history import StepFigures
from pretrain_trainer.training.optimizer import Optimizer
from pretrain_trainer.training.pace import Pace
from pretrain_trainer.training.recoveries import Recoveries, moment
from pretrain_trainer.training.schedule import learning_rate
from pretrain_trainer.training.snapshots import Snapshots
from pretrain_trainer.training.spent import Spent, of_step
from pretrain_trainer.training.stragglers import LEAST_RANKS, WINDOW_STEPS, OwnWork, Slow, slowest
from pretrain_trainer.training.watched import Watch
from pretrain_trainer.training.world import World

_LOGGER = logging.getLogger(__name__)

_WARM_STEPS = 3
"""So many steps after a start may take long where something is compiled or chosen in them."""
COMPARE_STEPS = 100
"""Steps between two comparisons of the replicas. They are compared before each save as well."""


def derived_seed(*numbers: int) -> int:
    """A seed below 2^63 that follows from the numbers and from nothing else."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass
class Training:
    """A training at some position, with all its parts."""

    context: StageContext
    world: World
    model: nn.Module
    objective: Objective[Any]
    optimizer: Optimizer
    gradients: Gradients
    checkpoints: Checkpoints
    snapshots: Snapshots
    validation: Validation
    batches: Callable[[Mixture, int], GlobalBatches[Any, Batch]]
    """This rank's batches of a mixture from a sample on."""
    mixture: Mixture
    segments: tuple[WeightSegment, ...]
    """The weights so far, of which the mixture is made."""
    forward_context: Callable[[], contextlib.AbstractContextManager[object]]
    length: RunLength
    sources: Sequence[str]
    flops_per_sample: float
    """0 where they are not counted."""
    peak_flops: float | None
    """Peak floating-point operations per second of all ranks' devices, where known."""
    position: Position = field(default_factory=Position)
    pending: list[StepFigures] = field(default_factory=list)
    """Figures of the steps since the last save."""
    in_save: list[StepFigures] = field(default_factory=list)
    """Figures of the steps that the last save holds."""
    told: StepFigures | None = None
    """Figures of the newest step."""
    pace: Pace = field(default_factory=Pace)
    waits: Waits = field(default_factory=Waits)
    """For how long each step waited for its batch, since the last start: one for each step."""
    boundary: float = 0.0
    """When the last step ended, on the clock of time.perf_counter."""
    resumed_step: int = 0
    """Steps that were done when this start began."""
    since: float = 0.0
    """When this start of training began to train, in seconds since 1970."""
    saved_at: float = 0.0
    """When the last save began, on the clock of time.monotonic, without what went by between starts."""
    saving_seconds: float = 0.0
    """What checkpoints and copies in memory have held up training since the last step."""
    own_work: OwnWork = field(init=False)
    watch: Watch = field(init=False)
    reading: GlobalBatches[Any, Batch] | None = None
    """What the batches come from now."""
    recoveries: Recoveries = field(default_factory=recoveries.of_agent)
    recovered: tuple[Recovery, ...] = ()
    """Those that no step has in its figures yet."""
    slow: Slow | None = None
    """The rank that all wait for, where one is slower than the others."""
    validations: int = 0
    """Since the last start."""
    returns: dict[int, int] = field(default_factory=dict)
    """How often training went back to a checkpoint since the last start, by the number of its commit."""

    def __post_init__(self) -> None:
        self.own_work = OwnWork(self.world.device)
        metadata = self.context.job.metadata
        self.watch = watched.of_rank(
            (metadata.namespace, metadata.name), self.world.rank, self.world.size, self.world.device
        )

    @property
    def spec(self) -> PretrainJobSpec:
        return self.context.spec

    def run(self) -> None:
        """Train to the end, or raise Stopped once a stop was asked for and the state is saved."""
        self.model.train()
        self.since, self.boundary, self.resumed_step = time.time(), time.perf_counter(), self.position.step
        # Steps that came from memory are as old as they are: starts in quick succession would else put off the save for ever.
        self.saved_at = time.monotonic() - sum(figures.spent.seconds for figures in self.pending)
        while not self._comes_to_the_end():
            self.boundary = time.perf_counter()
        self._leave_together()

    def _comes_to_the_end(self) -> bool:
        """Train on from here to the final checkpoint; False where training went back meanwhile."""
        first = self.position.step
        with self.batches(self.mixture, self.position.samples) as batches:
            mark(Phase.READING, first)
            self.reading = batches
            for batch in batches:
                mark(Phase.WARMING if self._is_warming(self.waits.count) else Phase.COMPUTING)
                if self.position.step == self.length.steps:
                    break
                targets, leave, stop, save, keep = self._agree(int(self.objective.targets(batch.made).sum()))
                if leave and not stop and self._is_kept_by_all():
                    raise Stopped(f"left the world at step {self.position.step}; the state is in memory")
                is_due = self.position.step == first or self.position.step % COMPARE_STEPS == 0
                if (is_due or stop or leave or save) and going_back.from_corruption(self):
                    return False
                if stop or leave:
                    if self.context.stopping.is_set():
                        heed_no_more_signals()
                    self._save(final=False)
                    self._leave_together()
                    raise Stopped(f"stopped at step {self.position.step}; {self._what_is_saved()}")
                if save:
                    self._save(final=False)
                    self.saved_at = time.monotonic()
                if keep:
                    self._keep()
                self._step(batch, targets)
                mark(Phase.READING, self.position.step)
        if going_back.from_corruption(self):
            return False
        self._save(final=True)
        return True

    def _what_is_saved(self) -> str:
        if not self.position.skipped_in_a_row:
            return "everything is saved"
        return "what followed the newest checkpoint is not saved, as the last steps were not finite"

    def _leave_together(self) -> None:
        """Wait until the checkpoint is committed, which rank 0 does last: whoever started the ranks may end the
        others as soon as one has left, and the job's pods are deleted together."""
        with at(Phase.SAVING):
            self.checkpoints.wait()
        self.world.sum([0.0])
        if self.told:
            stall = Spent(checkpoint_stall=time.perf_counter() - self.boundary)
            self.position = replace(self.position, spent=self.position.spent.plus(stall))
            shown.show(self, self.told)

    def _agree(self, targets: int) -> tuple[int, bool, bool, bool, bool]:
        """At a step boundary, in one reduction: targets in the global batch, whether to leave for another world, to stop,
        to save, and to keep the state in memory. What the first agent tells of recoveries goes to all on the way.

        Rank 0's clock decides what is due, and a signal to any rank, or the call of any agent, is for all of them.
        """
        self.checkpoints.poll()
        due = (
            self.world.is_first
            and bool(self.pending)
            and time.monotonic() - self.saved_at >= self.spec.checkpoint.every_seconds
            and not self.position.skipped_in_a_row
            and not self.checkpoints.is_saving
        )
        keep = self.world.is_first and self.snapshots.is_due()
        told = self.recoveries.behind(self.position.recovered) if self.world.is_first else ()
        asked = [is_called_together(), self.context.stopping.is_set(), due, keep, bool(told)]
        with self.watch.at("collective"):
            total, *decided = self.world.sum([targets, *asked])
        leave, stop, save, keep, has_recovered = (each > 0 for each in decided)
        if has_recovered:
            # Every rank writes them down, since any one's memory may be what training goes on from.
            self.recovered = self.world.from_first(told)
            self.position = replace(self.position, recovered=moment(self.recovered[-1]))
        return int(total), leave, stop, save, keep

    def _step(self, batch: RankBatch[Any, Batch], targets: int) -> None:
        """One optimizer step, or none when loss or gradient are not finite."""
        assert batch.first_sample == self.position.samples, "the reader is at another position than training"
        step, samples = self.position.step + 1, self.position.samples + self.spec.training.global_batch_size
        rate = learning_rate(
            self.spec.training.schedule, self.optimizer.peak, samples, self.length.samples, samples // step
        )
        is_warming = self._is_warming(self.waits.count)
        self.gradients.start_step()
        with self.own_work.measured(len(batch.source)):
            losses = self._forward_backward(batch.made, targets)
        with self.watch.at("collective"):
            norm = self.gradients.finish_step()
        self.waits.add(batch.wait_seconds)
        by_source, loss, gradient_norm, read = self._figures(
            batch, self.objective.targets(batch.made), losses, norm, targets
        )
        is_finite = math.isfinite(loss) and math.isfinite(gradient_norm)
        if is_finite:
            with self.watch.at("optimizer"):
                factor = clip_factor(gradient_norm, self.spec.training.max_gradient_norm)
                if factor < 1:
                    self.gradients.scale(factor)
                self.optimizer.set_learning_rate(rate)
                self.optimizer.step()
                self.objective.after_update(self.model, self._moment)
        tokens = samples * tokens_per_sample(self.spec)
        self.position = replace(
            self.position,
            step=step,
            samples=samples,
            tokens=tokens,
            updates=self.position.updates + is_finite,
            skipped=self.position.skipped + (not is_finite),
            skipped_in_a_row=0 if is_finite else self.position.skipped_in_a_row + 1,
            stand_ins=self.position.stand_ins + len(read.stand_ins),
        )
        every = self.spec.evaluation.every_steps
        validation, trained = None, time.perf_counter()
        if every and step % every == 0:
            with at(Phase.WARMING if self._is_warming(self.validations) else Phase.COMPUTING):
                validation = self.validation.losses(self.model, self.position.micro_batch_size)
            self.validations += 1
        began, self.boundary = self.boundary, time.perf_counter()
        seconds, evaluating = self.boundary - began, self.boundary - trained if validation is not None else 0.0
        self.pace = self.pace.after(seconds, evaluating, self.saving_seconds)
        pauses = Spent(data_wait=batch.wait_seconds, checkpoint_stall=self.saving_seconds, evaluation=evaluating)
        spent = of_step(seconds, pauses, is_warming=is_warming, is_finite=is_finite)
        self.position = replace(self.position, spent=self.position.spent.plus(spent))
        self.saving_seconds = 0.0
        per_second = self.spec.training.global_batch_size * tokens_per_sample(self.spec) / seconds
        figures = StepFigures(
            step, loss, tokens, rate, gradient_norm, per_second, seconds, batch.wait_seconds, not is_finite,
            by_source, read, validation, self.recovered, spent,
        )  # fmt: skip
        self.pending.append(figures)
        self.recovered = ()
        waits_within = self.world.mesh is not None or needs(self.spec.objective).passes_together
        if step % WINDOW_STEPS == 0 and self.world.size >= LEAST_RANKS and not waits_within:
            self.slow = slowest(self.world.gather(self.own_work.per_sample()))
        going_back.past_what_is_not_finite(self)
        self.told = figures
        self.watch.stepped(self, figures, shown.show(self, figures))

    def _is_warming(self, times_before: int) -> bool:
        """Whether what was done so often may still be slow."""
        compiles = self.spec.training.compile or self.world.device.type == "cuda"
        return compiles and times_before < _WARM_STEPS

    def _forward_backward(self, whole: Batch, targets: int) -> Tensor:
        """Accumulate the gradient of this rank's slice; float32 [slice], the loss of each sample over its targets."""
        # Random numbers (dropout) follow from the position, so that a resumed run draws the same ones.
        torch.manual_seed(derived_seed(self.spec.training.seed, self.position.samples, self.world.rank))
        largest = -(-self.spec.training.global_batch_size // self.world.size)
        micro, watch = self.position.micro_batch_size, self.watch
        passes = Passes(whole, largest, micro, self.world.device, self.forward_context, watch.at)
        return self.objective.learn(self.model, passes, 1 / max(targets, 1), self._moment)

    @property
    def _moment(self) -> Moment:
        return Moment(self.position.samples, self.length.samples)

    def _figures(
        self, batch: RankBatch[Any, Batch], counts: Tensor, losses: Tensor, norm: Tensor, targets: int
    ) -> tuple[dict[str, float], float, float, StepRead]:
        """Loss by source, loss, gradient norm and what was read. The one place in a step that waits for the device."""
        source = torch.from_numpy(batch.source)
        values = torch.cat([losses.double(), norm.double().reshape(1)]).cpu()
        sums = torch.zeros(2, len(self.sources), dtype=torch.float64)
        sums[0].index_add_(0, source, values[:-1])
        sums[1].index_add_(0, source, counts.double())
        own = ledger.own_part(batch, len(self.sources))
        with self.watch.at("collective"):
            *added, damaged = self.world.sum([*sums.flatten().tolist(), *own, float(batch.samples.stand_ins.any())])
        total = torch.tensor(added[: sums.numel()], dtype=torch.float64).view(2, -1)
        read = ledger.step_read(added[sums.numel() :], self.position.samples, self.mixture, self.sources, self.segments)
        if damaged:
            parts = self.world.gather(ledger.stand_ins(batch))
            read = read.model_copy(update={"stand_ins": tuple(sorted(g for part in parts for g in part))})
        by_source = {
            name: float(loss / count)
            for name, loss, count in zip(self.sources, total[0], total[1], strict=True)
            if count > 0
        }
        return by_source, float(total[0].sum()) / max(targets, 1), float(values[-1]), read

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds."""
        return {**model_tensors(self.model), **self.optimizer.state_tensors()}

    def restore(self) -> Literal["", "memory", "checkpoint"]:
        """Go to the newest state there is, in memory or a checkpoint that is intact; says which, "" for neither."""
        found: Literal["memory", "checkpoint"] = "memory"
        if kept := self.snapshots.newest(self.checkpoints.newest_whole):
            self.checkpoints.stand_on_newest()
            position, self.pending = kept.position, list(kept.figures)
        elif loaded := self.checkpoints.load(self.tensors()):
            position, found = loaded, "checkpoint"
        else:
            return ""
        self.position = position
        self.optimizer.set_updates(position.updates)
        return found

    def _save(self, *, final: bool) -> None:
        newest = self.checkpoints.newest
        if not self.pending and newest is not None and newest.final >= final:
            return
        if self.position.skipped_in_a_row and not final:
            return  # these weights may be what made the loss infinite: there must be others to go back to
        began = time.perf_counter()
        with at(Phase.SAVING):
            self.checkpoints.save(self.tensors(), self.position, self.segments, self.pending, final=final)
        self.saving_seconds += time.perf_counter() - began
        self.pending, self.in_save = [], self.pending

    def _keep(self) -> None:
        """Copy the state into memory, with the figures that no commit is known to hold."""
        newest = self.checkpoints.newest
        committed = newest.step if newest else 0
        self.in_save = [figures for figures in self.in_save if figures.step > committed]
        began = time.perf_counter()
        with at(Phase.SAVING):
            self.snapshots.keep(self.position, [*self.in_save, *self.pending], self.checkpoints.start)
        self.saving_seconds += time.perf_counter() - began

    def _is_kept_by_all(self) -> bool:
        """Copy the state into memory, and whether every rank has done so."""
        self._keep()
        return not any(self.world.sum([not self.snapshots.holds(self.position.step)]))
