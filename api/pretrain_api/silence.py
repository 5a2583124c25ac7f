"""Workers that their neighbours hear nothing of any more: what an agent tells the operator, which may see them run.

`Silence` is the key `silence` of the ConfigMap `pretrain_api.cluster.report_name`, as JSON.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Silence(BaseModel):
    """Members of one roster that answer no more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    generation: int
    """Number of the roster that they are in. Nothing is said of them in any other one."""
    workers: tuple[str, ...]
    """Names of their pods."""
    why: str
    """What they did not answer, for people."""
