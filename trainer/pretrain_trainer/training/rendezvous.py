"""Where ranks meet: one store for each world, served by rank 0."""

from __future__ import annotations

import os
from datetime import timedelta

# Where their home is private, and torch.distributed passes them on without saying so to type checkers.
from torch.distributed import HashStore, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from pretrain_api.errors import PretrainError
from pretrain_trainer.agent.place import ENV_STORE, ENV_WORLD

_JOIN_TIMEOUT = timedelta(minutes=10)
_NAME_KEY = "world"


class OtherWorld(PretrainError):
    """The ranks that were met belong to another world."""

    kind = "OtherWorld"


def store(rank: int, size: int) -> Store | None:
    """The store of the agent's world; None where torchrun started this process, which has one of its own.

    Raises OtherWorld when whoever answers at the meeting place is of another world: a port that is used again must not
    mix two of them.
    """
    name = os.environ.get(ENV_WORLD)
    if name is None:
        return None if "RANK" in os.environ else HashStore()
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    serving = os.environ.get(ENV_STORE)
    met = TCPStore(
        host,
        port,
        size,
        is_master=serving is not None,
        timeout=_JOIN_TIMEOUT,
        wait_for_workers=False,
        master_listen_fd=int(serving) if serving else None,
    )
    if serving is not None:
        met.set(_NAME_KEY, name)
    if (found := met.get(_NAME_KEY).decode()) != name:
        raise OtherWorld(f"rank {rank} of world {name} met world {found} at {host}:{port}.")
    return PrefixStore(name, met)
