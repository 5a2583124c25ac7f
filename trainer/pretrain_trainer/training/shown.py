"""What a training tells of itself after each step: to the agent, the operator and whoever looks."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic.alias_generators import to_camel

from pretrain_api import goodput
from pretrain_api.commits import Commit
from pretrain_api.events import ReportedCheckpoint
from pretrain_api.storage import Storage
from pretrain_trainer.training.history import StepFigures
from pretrain_trainer.training.pace import evaluations_between
from pretrain_trainer.training.spent import Spent

if TYPE_CHECKING:
    from pretrain_trainer.training.loop import Training


def show(training: Training, figures: StepFigures) -> dict[str, float]:
    """Tell of a step, with the newest checkpoint; the figures that are told."""
    newest = training.checkpoints.newest
    samples_per_second = training.spec.training.global_batch_size / figures.seconds_per_step
    shown = {
        "step": figures.step,
        "totalSteps": training.length.steps,
        "resumedStep": training.resumed_step,
        "samples": training.position.samples,
        "tokens": figures.tokens,
        "loss": figures.loss,
        "tokensPerSecond": figures.tokens_per_second,
        "samplesPerSecond": samples_per_second,
        "learningRate": figures.learning_rate,
        "gradientNorm": figures.gradient_norm,
        "dataWaitRatio": figures.data_wait_seconds / figures.seconds_per_step,
        "checkpointStep": newest.step if newest else 0,
        "skippedSteps": training.position.skipped,
        "standInSamples": training.position.stand_ins,
        "slowRank": training.slow.rank if training.slow else -1,
        "slowTimes": training.slow.times if training.slow else 1.0,
        goodput.SINCE: training.since,
        **totals(training.position.spent),
    }
    left = evaluations_between(figures.step, training.length.steps, training.spec.evaluation.every_steps)
    steps_left = training.length.steps - figures.step
    seconds_left = training.pace.seconds_left(steps_left, left)
    if seconds_left is not None:
        shown["secondsLeft"] = seconds_left
        shown["secondsLeftError"] = min(seconds_left, training.pace.error_seconds(steps_left))
    if training.peak_flops and training.flops_per_sample:
        shown["mfuRatio"] = samples_per_second * training.flops_per_sample / training.peak_flops
    finite = {name: float(value) for name, value in shown.items() if math.isfinite(value)}
    training.context.progress.update(
        "step",
        figures.step,
        training.length.steps,
        "steps",
        "",
        _reported(training.context.storage, newest) if newest else None,
        **finite,
    )
    return finite


def totals(spent: Spent) -> dict[str, float]:
    """By the names of `pretrain_api.goodput.FIGURES`."""
    return {f"{to_camel(name)}Seconds": seconds for name, seconds in asdict(spent).items()}


def _reported(storage: Storage, commit: Commit) -> ReportedCheckpoint:
    return ReportedCheckpoint(step=commit.step, uri=storage.uri(commit.data)[-256:], time=commit.time)
