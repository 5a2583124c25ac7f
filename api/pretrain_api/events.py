"""What a stage program tells its body: progress lines while it works and one outcome at its end.

The body names the two files in the environment. The outcome file is the container's termination message in a
cluster, so it stays below 4 KiB: it carries the record's address, not the record.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_STOPPED, EXIT_USER_ERROR
from pretrain_api.recoveries import Recovery
from pretrain_api.silence import Silence
from pretrain_api.stages import NO_FLOW, Flow

ENV_EVENTS = "PRETRAIN_EVENTS"
"""File that the stage program appends one JSON line to, at most a few a second. Unset: nothing is written."""
ENV_OUTCOME = "PRETRAIN_OUTCOME"
"""File that the stage program writes its Outcome to, once. Unset: nothing is written."""
OUTCOME_BYTES = 4096
"""What a termination message may have; a longer one is cut by the kubelet and then cannot be read."""


_EXIT_CODES = {"complete": EXIT_OK, "stopped": EXIT_STOPPED, "userError": EXIT_USER_ERROR, "failed": EXIT_FAILURE}
SIGNAL = "Signal"
"""Kind of a failure whose program was killed."""


class ReportedCheckpoint(BaseModel):
    """The newest complete checkpoint of a training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    uri: str
    time: datetime


class ProgressEvent(BaseModel):
    """One line of the events file."""

    model_config = ConfigDict(frozen=True)

    time: float
    """Seconds since the epoch."""
    stage: str
    phase: str = ""
    """What the stage is at, for people: "filter", "deduplicate", "step"."""
    done: float = 0
    total: float | None = None
    unit: str = ""
    """bytes, documents, tokens, images, steps ..."""
    message: str = ""
    """A line worth keeping in plain output."""
    figures: dict[str, float] = {}
    """Train: step, totalSteps, resumedStep (that this start went on from), samples, tokens (0 where samples are images), loss, tokensPerSecond, samplesPerSecond, secondsLeft, secondsLeftError (nine of ten times the end is that near), learningRate, gradientNorm, mfuRatio, dataWaitRatio, checkpointStep, skippedSteps, standInSamples, slowRank (-1: none), slowTimes, and the totals of `pretrain_api.goodput.FIGURES`."""
    checkpoint: ReportedCheckpoint | None = None
    """Train: the newest commit, once there is one."""
    recovery: Recovery | None = None
    """Train: a recovery that is complete now."""
    silence: Silence | None = None
    """Train: workers that answer no more."""


class Outcome(BaseModel):
    """How a stage program ended."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    outcome: Literal["complete", "stopped", "userError", "failed"]
    fingerprint: str = ""
    """complete: identity of the stage; its record is in storage. Empty after a phase that leaves the record to a later one."""
    skipped: bool = False
    """complete: the record was there already."""
    flow: Flow = NO_FLOW
    """complete: what went through the stage, as its record has it."""
    code: str = ""
    """userError: the error's code."""
    kind: str = ""
    """failed: one word: Signal, Exit, NonFinite, OutOfMemory, DiskFull, or the class of an exception."""
    rank: int = -1
    message: str = ""
    """One message for people, or the last lines of the traceback; empty when a rank was killed, which cannot speak."""


def exit_code(outcome: Outcome) -> int:
    """What a program ends with that ended so."""
    return _EXIT_CODES[outcome.outcome]


def outcome_at(path: Path) -> Outcome | None:
    """What a program said of its end; None when it did not come to that, or not to the end of it."""
    try:
        return Outcome.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def fitted(outcome: Outcome) -> bytes:
    """The outcome as JSON that fits into a termination message: what matters of a traceback stands at its end, of other
    messages at their beginning."""
    while len(content := outcome.model_dump_json().encode()) > OUTCOME_BYTES and outcome.message:
        less = (len(content) - OUTCOME_BYTES) // 6 + 1  # a character takes six bytes at most
        message = outcome.message[less:] if outcome.outcome == "failed" else outcome.message[:-less]
        outcome = outcome.model_copy(update={"message": message})
    return content
