"""How far training is: the newest figures of the training program as recorded status."""

from collections.abc import Mapping
from datetime import timedelta

from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus, Progress
from pretrain_operator.brain.observed import StageRun


def taken_in(
    recorded: PretrainJobStatus, train: StageRun | None, checkpoint: CheckpointStatus | None
) -> PretrainJobStatus:
    """The status with the figures of the running training attempt and the newest checkpoint, as far as they are seen."""
    if checkpoint is not None and checkpoint != recorded.checkpoint:
        recorded = recorded.model_copy(update={"checkpoint": checkpoint})
    if train is None or "step" not in train.figures or train.figures_time == recorded.progress.update_time:
        return recorded
    return recorded.model_copy(update={"progress": _progress(train)})


def has_stepped(train: StageRun) -> bool:
    """Whether this attempt has made a step of its own."""
    return "step" in train.figures


def _progress(train: StageRun) -> Progress:
    figures = train.figures
    step, total, tokens = figures["step"], figures.get("totalSteps", 0.0), figures.get("tokens", 0.0)
    rate = figures.get("tokensPerSecond", 0.0)
    end = None
    if train.figures_time and rate > 0 and step > 0 and total >= step:
        end = train.figures_time + timedelta(seconds=round((total - step) * (tokens / step) / rate))
    return Progress(
        step=int(step),
        total_steps=int(total),
        samples=int(figures.get("samples", 0)),
        tokens=int(tokens),
        loss=_decimal(figures, "loss"),
        tokens_per_second=int(rate),
        mfu_ratio=_decimal(figures, "mfuRatio"),
        data_wait_ratio=_decimal(figures, "dataWaitRatio"),
        estimated_completion_time=end,
        update_time=train.figures_time,
    )


def _decimal(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.4f}" if name in figures else ""
