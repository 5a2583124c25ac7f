"""The workers that train together: what the operator publishes and the workers' agents follow.

`World` is the key `world` of the ConfigMap `pretrain_api.cluster.world_name`, as JSON.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pretrain_api.cluster import MASTER_PORT

Number = Annotated[int, Field(ge=0, lt=1 << 31)]
"""What the status can hold: anybody who may write the ConfigMap may write a larger one."""


class Member(BaseModel):
    """A worker in the roster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    worker: int
    """Index of the worker."""
    pod: str
    """Name of its pod."""
    uid: str
    """UID of its pod: a pod finds itself by it, and a later pod of the same name does not."""
    address: str
    """IP address or host name that the others reach it at."""


class World(BaseModel):
    """A roster under its number. Written by the operator alone; a higher generation replaces a lower one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    generation: Number
    """Number of the roster, over all attempts of the job."""
    attempt: Number
    """The start of the Train stage that it belongs to."""
    roster: tuple[Member, ...]
    """In the order of the node ranks."""
    leader: str
    """Address of the first one, where the ranks meet."""
    port: int = MASTER_PORT
    """Port at which they meet."""
    reason: str = ""
    """Why this roster replaced the one before, for people."""
    planned: bool = True
    """Whether all members of the one before still train: they change over at the end of a step, and none is lost."""

    @property
    def token(self) -> str:
        """What its members know and others do not: they tell each other from strangers by it."""
        known = f"{self.generation}" + "".join(member.uid for member in self.roster)
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    def rank_of(self, uid: str) -> int | None:
        """Node rank of the pod with this UID; None for one that is not in the roster."""
        return next((rank for rank, member in enumerate(self.roster) if member.uid == uid), None)
