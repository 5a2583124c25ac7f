"""Workers that their neighbours have lost: what an agent tells the operator, which may see them run for a while.

`Silence` is the key `silence` of the ConfigMap `pretrain_api.cluster.report_name`, as JSON.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Silence(BaseModel):
    """Members of one roster that answer no more, and those whose program is gone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    generation: int
    """Number of the roster that they are in. Nothing is said of them in any other one."""
    workers: tuple[str, ...]
    """Names of the pods of those that do not answer."""
    gone: tuple[str, ...] = ()
    """And of those whose connection their machine has ended, as it does when a program is killed. How it ended that machine
    tells, some seconds later."""
    why: str
    """Who has lost them, for people."""
