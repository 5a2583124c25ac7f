"""What `pretrain wait --for` waits for, and when it can no longer come. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from pretrain_api.nouns import counted
from pretrain_api.problems import closest
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import State

ENDED = ("Succeeded", "Failed")
FORMS = "condition=TYPE[=True|False|Unknown], state=STATE, checkpoint, step=N, delete"
_CONDITIONS = ("Succeeded", "Running", "Checkpointed", "Recovering", "Straggling", "Stalled", "Suspended", "Accepted")
_STAGE_OF: dict[str, Stage] = {
    "Collecting": Stage.COLLECT,
    "Preparing": Stage.PREPARE,
    "Tokenizing": Stage.TOKENIZER,
    "Encoding": Stage.ENCODE,
    "Queued": Stage.TRAIN,
    "Starting": Stage.TRAIN,
    "Training": Stage.TRAIN,
    "Recovering": Stage.TRAIN,
    "Evaluating": Stage.EVALUATE,
    "Exporting": Stage.EXPORT,
    "Reporting": Stage.REPORT,
}
_LONGEST_SECONDS = 10 * 365 * 86400.0
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?\Z")


@dataclass(frozen=True)
class Answer:
    """Whether it has come: not yet, reached, or out of reach, and why."""

    state: Literal["waiting", "reached", "unreachable"]
    why: str = ""


Look = Callable[[PretrainJobStatus], Answer]
"""What a job's status says about it."""

_REACHED, _WAITING = Answer("reached"), Answer("waiting")


@dataclass(frozen=True)
class Wanted:
    """What is waited for."""

    text: str
    look: Look | None
    """None: the job's deletion."""


def wanted(text: str) -> Wanted:
    """What --for says. Raises ValueError with a message for people."""
    kind, _, value = text.partition("=")
    if kind == "delete" and not value:
        return Wanted(text, None)
    if kind == "checkpoint" and not value:
        return Wanted(text, _checkpoint)
    if kind == "step":
        if not value.isascii() or not value.isdigit():
            raise ValueError(f"{text}: {value or 'nothing'} is no number of steps. Write step=100.")
        return Wanted(text, lambda status: _step(status, int(value)))
    if kind == "state":
        state = _one_of(text, value, get_args(State))
        return Wanted(text, lambda status: _state(status, state))
    if kind == "condition":
        name, _, truth = value.partition("=")
        condition = _one_of(text, name, _CONDITIONS)
        wished = _one_of(text, truth or "True", ("True", "False", "Unknown"))
        return Wanted(text, lambda status: _condition(status, condition, wished))
    known = ("condition", "state", "checkpoint", "step", "delete")
    near = closest(kind, known)
    hint = f"Did you mean {near}{'=' if near in ('condition', 'state', 'step') else ''}?" if near else f"Write {FORMS}."
    raise ValueError(f"{text} is nothing to wait for. {hint}")


def seconds(text: str) -> float:
    """90, 90s, 5m, 1h30m. Raises ValueError with a message for people."""
    match = _DURATION.match(text)
    if not text or match is None:
        raise ValueError(f"{text or 'nothing'} is no duration. Write 90s, 5m or 1h30m.")
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    if (found := 3600 * hours + 60 * minutes + rest) > _LONGEST_SECONDS:
        raise ValueError(f"{text} is longer than ten years. Write a shorter time.")
    return found


def _one_of(text: str, value: str, known: tuple[str, ...]) -> str:
    same = next((name for name in known if name.lower() == value.lower()), "")
    if same:
        return same
    near = closest(value, known)
    hint = f"Did you mean {near}?" if near else f"Write one of {', '.join(known)}."
    raise ValueError(f"{text}: {value or 'nothing'} is not known. {hint}")


def _out_of_reach(why: str) -> Answer:
    return Answer("unreachable", why)


def _ended(status: PretrainJobStatus) -> str:
    """How the job ended, "" while it has not."""
    if status.state not in ENDED:
        return ""
    summary = next((c.message for c in status.conditions if c.type == "Succeeded"), "")
    return f"it has {status.state.lower()}" + (f": {summary}" if status.state == "Failed" and summary else "")


def _checkpoint(status: PretrainJobStatus) -> Answer:
    if status.checkpoint is not None:
        return _REACHED
    ended = _ended(status)
    return _out_of_reach(ended) if ended else _WAITING


def _step(status: PretrainJobStatus, step: int) -> Answer:
    progress = status.progress
    if progress.step >= step:
        return _REACHED
    if progress.total_steps and step > progress.total_steps:
        return _out_of_reach(f"it trains for {counted(progress.total_steps, 'step')} only")
    ended = _ended(status)
    return _out_of_reach(ended) if ended else _WAITING


def _state(status: PretrainJobStatus, state: str) -> Answer:
    if status.state == state:
        return _REACHED
    stage = _STAGE_OF.get(state)
    if stage and any(entry.name == stage and entry.state == "Complete" for entry in status.stages):
        return _out_of_reach(f"{stage} is complete; it is {status.state}")
    ended = _ended(status)
    return _out_of_reach(ended) if ended else _WAITING


def _condition(status: PretrainJobStatus, kind: str, truth: str) -> Answer:
    stated = next((c.status for c in status.conditions if c.type == kind), "Unknown")
    if stated == truth:
        return _REACHED
    ended = _ended(status)
    return _out_of_reach(ended) if ended else _WAITING
