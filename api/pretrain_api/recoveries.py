"""A recovery of training that needed no new start of the stage, as the one who carried it out tells of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["Restart", "Shrink", "Replace", "Grow"]
"""The rung of the ladder. Restart: the ranks were started again in place. Shrink: the workers that were left went on;
Replace: with others in the place of those that were lost; Grow: more came to those that were there."""

PHASES = ("stop", "start", "join", "load", "step")
"""What a recovery goes through: `stop` the ranks that are left and decide, which begins with the loss, so of a hang when the rank
stood still and not when that was noticed; `start` new ones, `join` them, `load` the state, make a `step`."""


class Recovery(BaseModel):
    """From a loss to the next step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    """Which one it was within its start of the stage, from 1."""
    kind: Kind
    rank: int
    """The rank that was lost; -1 where it was a worker."""
    node: int = 0
    """Restart: the rank's worker, as its place in the roster, from 0."""
    worker: str = ""
    """Otherwise the worker that was lost, or came."""
    cause: str
    """How: `exit -9 (SIGKILL)`, or why the roster changed."""
    time: datetime
    """When it was lost."""
    seconds: float
    """From the loss to the next step of every rank."""
    lost_steps: int
    """Steps that were done before the loss and had to be done again."""
    phases: dict[str, float]
    """Seconds by PHASES, one after the other; what there was none of is left out."""
