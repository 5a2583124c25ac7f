"""Figures as people read them: progress of a stage, durations, rates. Pure functions."""

import math
from dataclasses import dataclass

from pretrain_api.events import ProgressEvent
from pretrain_api.stages import Stage
from pretrain_api.types.status import Progress

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_EXACT_BELOW = 10_000
"""Counts below are written out."""
_LEAST_SECONDS = 1.0
"""Of a rate: lines closer together than this are one burst, and say nothing about speed."""


@dataclass(frozen=True)
class Rate:
    """Units per second of the present phase, from its first line seen to its newest."""

    phase: str
    first_time: float
    first_done: float
    per_second: float = 0.0

    def after(self, event: ProgressEvent) -> "Rate":
        """The rate with one more line taken in. A new phase, or one that begins anew, starts a new rate."""
        if event.phase != self.phase or event.done < self.first_done:
            return Rate(event.phase, event.time, event.done)
        seconds = event.time - self.first_time
        per_second = (event.done - self.first_done) / seconds if seconds >= _LEAST_SECONDS else 0.0
        return Rate(self.phase, self.first_time, self.first_done, per_second)


def duration(seconds: float) -> str:
    """1.4 s, 42 s, 3:07, 1:02:09."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def give_or_take(seconds: float, error: float) -> str:
    """± 2:05, behind a time that may be off by that much; nothing for less than a hundredth of it."""
    return f" ± {duration(error)}" if error > 0.01 * seconds else ""


def amount(value: float, unit: str = "") -> str:
    """1.2 M tokens, 850 documents, 3.4 MB."""
    in_bytes = unit in ("bytes", "B")
    scale, sign = next((s for s in _SCALES if value >= s[0]), (1.0, ""))
    if not in_bytes and value < _EXACT_BELOW:
        scale, sign = 1.0, ""
    number = f"{value / scale:.1f} {sign}" if sign else f"{value:.0f}"
    if in_bytes:
        return f"{number}B" if sign else f"{number} B"
    return f"{number} {unit.removesuffix('s') if number == '1' else unit}".strip()


def number(text: str) -> float | None:
    """What a decimal number in a status says; None where there is none, or something that is not a finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def percent(text: str) -> str:
    """A ratio in a status as a percentage, as it stands there where it is no number."""
    ratio = number(text)
    return text if ratio is None else f"{100 * ratio:.1f} %"


def trained(recorded: Progress) -> list[str]:
    """Tokens or images so far and, while something trains, how fast it does."""
    if recorded.tokens:
        rate = recorded.tokens_per_second
        return [amount(recorded.tokens, "tokens"), *([] if rate is None else [per_second(rate, "tokens")])]
    images = number(recorded.samples_per_second)
    return [amount(recorded.samples, "images"), *([] if images is None else [per_second(images, "images")])]


def per_second(rate: float, unit: str) -> str:
    """20.0 k tokens/s, 412 images/s, 0.37 prompts/s."""
    slow = rate < 10 and unit != "bytes"
    return (f"{rate:.2g} {unit}".strip() if slow else amount(rate, unit)) + "/s"


def progress(stage: Stage, event: ProgressEvent, rate: Rate) -> str:
    """How far a stage is, in one line."""
    if stage is Stage.TRAIN and event.phase == "step":
        return _training(event)
    if not event.total and not event.unit:
        return event.phase  # Nothing is counted.
    total = f"/{amount(event.total, event.unit)}" if event.total else ""
    done = amount(event.done, "" if total and event.unit != "bytes" else event.unit)
    phase = "" if event.phase == stage.lower() else event.phase
    parts = [phase, f"{done}{total}" if event.done or total else ""]
    if rate.per_second > 0:
        parts.append(per_second(rate.per_second, event.unit))
        if event.total and event.total > event.done:
            parts.append(f"{duration((event.total - event.done) / rate.per_second)} left")
    return ", ".join(part for part in parts if part)


def _training(event: ProgressEvent) -> str:
    figures = event.figures
    step, total = figures.get("step", event.done), figures.get("totalSteps", event.total or 0.0)
    unit, figure = ("tokens", "tokensPerSecond") if figures.get("tokensPerSecond") else ("images", "samplesPerSecond")
    rate = figures.get(figure, 0.0)
    parts = [f"step {step:.0f}/{total:.0f}"]
    if "loss" in figures:
        parts.append(f"loss {figures['loss']:.4f}")
    if rate > 0:
        parts.append(per_second(rate, unit))
    if "mfuRatio" in figures:
        parts.append(f"MFU {100 * figures['mfuRatio']:.1f} %")
    if total > step and "secondsLeft" in figures:
        left = figures["secondsLeft"]
        parts.append(f"{duration(left)}{give_or_take(left, figures.get('secondsLeftError', 0.0))} left")
    return ", ".join(parts)
