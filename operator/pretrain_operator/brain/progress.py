"""How far training is: the newest figures of the training program as recorded status."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from zlib import crc32

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.base import ApiModel
from pretrain_api.types.status import CheckpointStatus, Progress
from pretrain_operator.brain import stages
from pretrain_operator.brain.observed import StageRun

FIGURES_SECONDS = 30.0
"""How often figures alone are written to an API server."""
COUNT_SECONDS = 5.0
"""How long workers that come up one by one may be counted before the count is written."""
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_FIGURES = ("progress", "checkpoint", "goodput", "goodput_ratio")
"""Fields of the status."""


def taken_in(
    recorded: PretrainJobStatus, train: StageRun | None, checkpoint: CheckpointStatus | None
) -> PretrainJobStatus:
    """The status with the figures of the running training attempt and the newest checkpoint, as far as they are seen."""
    if checkpoint is not None and checkpoint != recorded.checkpoint:
        recorded = recorded.model_copy(update={"checkpoint": checkpoint})
    if train is None or "step" not in train.figures or train.figures_time == recorded.progress.update_time:
        return recorded
    return recorded.model_copy(update={"progress": of_figures(train.figures, train.figures_time)})


def at_rest(recorded: PretrainJobStatus) -> PretrainJobStatus:
    """The status without what is true only of workers at work, where training is not."""
    if stages.entry(recorded, Stage.TRAIN).state == "Running":
        return recorded
    progress, ready = recorded.progress, f"0/{recorded.world.workers}"
    idle = {
        "tokens_per_second": None,
        "samples_per_second": "",
        "throughput": "",
        "estimated_completion_time": None,
        "completion_error_seconds": 0,
        "time_left": "",
    }
    update: dict[str, ApiModel] = {"progress": progress.model_copy(update=idle)}
    if recorded.world.ready:
        update["world"] = recorded.world.model_copy(update={"ready": 0, "summary": ready})
    return recorded.model_copy(update=update)


def is_news(
    before: PretrainJobStatus, after: PretrainJobStatus, now: datetime, written: datetime | None, uid: str
) -> bool:
    """Whether a status is worth writing where writing is dear: figures alone are, every half minute, and the count of
    ready workers that is not complete yet, every few seconds.

    `written`: when the status was last written, if known. `uid`: of the job; it says at which second of the half
    minute figures are due. A thousand jobs that start together, or that an operator finds at its start, would
    otherwise write together ever after, and whoever loses a worker in that moment waits for all of them.
    """
    if before == after:
        return False
    if written and _counts_on(before, after) and timedelta() <= now - written < timedelta(seconds=COUNT_SECONDS):
        return False
    newest = before.progress.update_time
    if newest is None or _turn(written or newest, uid) != _turn(now, uid):
        return True
    return with_figures_of(after, before) != after


def with_figures_of(other: PretrainJobStatus, status: PretrainJobStatus) -> PretrainJobStatus:
    """A status with the figures of another one: what changes at every step, and nothing else."""
    return status.model_copy(update={name: getattr(other, name) for name in _FIGURES})


def _turn(at: datetime, uid: str) -> int:
    """The half minute of this job that a time falls into."""
    return int((at.timestamp() + crc32(uid.encode()) % (1000 * FIGURES_SECONDS) / 1000) // FIGURES_SECONDS)


def _counts_on(before: PretrainJobStatus, after: PretrainJobStatus) -> bool:
    """Whether more workers are ready than before, not all of them, and nothing else happened."""
    is_counting = before.world.ready < after.world.ready < after.world.workers
    return is_counting and before.model_copy(update={"world": after.world}) == after


def has_stepped(train: StageRun) -> bool:
    """Whether this attempt has made a step of its own."""
    return "step" in train.figures


def of_figures(figures: Mapping[str, float], time: datetime | None) -> Progress:
    """The figures of a training program, told at that time, as recorded status. There is a step among them."""
    step, total, tokens = figures["step"], figures.get("totalSteps", 0.0), figures.get("tokens", 0.0)
    end, left, error = None, "", 0
    if time and "secondsLeft" in figures:
        remaining, error = timedelta(seconds=round(figures["secondsLeft"])), round(figures.get("secondsLeftError", 0.0))
        end, left = time + remaining, _time_left(remaining, error)
    return Progress(
        step=int(step),
        total_steps=int(total),
        steps=f"{int(step)}/{int(total)}" if total else str(int(step)),
        samples=int(figures.get("samples", 0)),
        tokens=int(tokens),
        loss=_decimal(figures, "loss"),
        tokens_per_second=int(figures.get("tokensPerSecond", 0.0)) if tokens else None,
        samples_per_second=_decimal(figures, "samplesPerSecond"),
        throughput=_throughput(figures),
        mfu_ratio=_decimal(figures, "mfuRatio"),
        data_wait_ratio=_decimal(figures, "dataWaitRatio"),
        estimated_completion_time=end,
        completion_error_seconds=error,
        time_left=left,
        update_time=time,
    )


def _throughput(figures: Mapping[str, float]) -> str:
    """Of tokens; of images where training sees no tokens. Models of images may take less than ten a second."""
    if figures.get("tokens"):
        return f"{figures.get('tokensPerSecond', 0.0):.0f} tokens/s"
    images = figures.get("samplesPerSecond")
    return "" if images is None else f"{images:.0f} images/s" if images >= 10 else f"{images:.2g} images/s"


def _time_left(span: timedelta, error_seconds: int) -> str:
    """A span of time, and by how much it may be wrong if that is a hundredth of it or more, in whole units: 3h12m±9m."""
    if not error_seconds or error_seconds < 0.01 * span.total_seconds():
        return _duration(span)
    size, unit = next(each for each in _UNITS if error_seconds >= each[0])
    return f"{_duration(span)}±{math.ceil(error_seconds / size)}{unit}"


def _duration(span: timedelta) -> str:
    """A span of time in its two greatest units: 3h12m."""
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    first = next((i for i, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    return "".join(f"{amount}{unit}" for amount, unit in parts[first : first + 2])


def _decimal(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.4f}" if name in figures else ""
