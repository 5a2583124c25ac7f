"""What a training tells of itself after each step: to the agent, the operator and whoever looks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pretrain_api.commits import Commit
from pretrain_api.events import ReportedCheckpoint
from pretrain_api.storage import Storage
from pretrain_trainer.training.history import StepFigures
from pretrain_trainer.training.pace import evaluations_between

if TYPE_CHECKING:
    from pretrain_trainer.training.loop import Training


def show(training: Training, figures: StepFigures) -> None:
    """Tell of a step, with the newest checkpoint."""
    newest = training.checkpoints.newest
    samples_per_second = training.spec.training.global_batch_size / figures.seconds_per_step
    shown = {
        "step": figures.step,
        "totalSteps": training.length.steps,
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
    }
    left = evaluations_between(figures.step, training.length.steps, training.spec.evaluation.every_steps)
    seconds_left = training.pace.seconds_left(training.length.steps - figures.step, left)
    if seconds_left is not None:
        shown["secondsLeft"] = seconds_left
    if training.peak_flops and training.flops_per_sample:
        shown["mfuRatio"] = samples_per_second * training.flops_per_sample / training.peak_flops
    training.context.progress.update(
        "step",
        figures.step,
        training.length.steps,
        "steps",
        "",
        _reported(training.context.storage, newest) if newest else None,
        **{name: float(value) for name, value in shown.items() if math.isfinite(value)},
    )


def _reported(storage: Storage, commit: Commit) -> ReportedCheckpoint:
    return ReportedCheckpoint(step=commit.step, uri=storage.uri(commit.data)[-256:], time=commit.time)
