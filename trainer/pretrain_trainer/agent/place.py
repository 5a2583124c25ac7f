"""Where a machine's ranks stand in the world, and how they are told."""

from __future__ import annotations

from dataclasses import dataclass

ENV_STORE = "PRETRAIN_STORE"
"""Descriptor of the bound socket that rank 0 serves the world's store from."""
ENV_MEMORY = "PRETRAIN_MEMORY"
"""Descriptors of the memory that outlives the ranks, one for each rank of the machine, with commas."""
ENV_RECOVERIES = "PRETRAIN_RECOVERIES"
"""File that the agent appends each recovery to, as JSON, a line each."""
ENV_RESTARTS = "PRETRAIN_RESTARTS"
"""How often this machine's ranks were started again; storage has answered the ones before."""
ENV_WORLD = "PRETRAIN_WORLD_NAME"
"""The world's name, by which its ranks tell its store from another's."""


@dataclass(frozen=True)
class Place:
    """This machine's part in the world."""

    ranks: int
    """Ranks on this machine, and on every other."""
    nodes: int
    """Machines."""
    node: int
    """Which of them this one is, from 0."""
    address: str
    """Host of the first one, where all ranks meet."""
    port: int
    """Port there; 0 on a lone machine: any."""
    world: str
    """A name that all of them know, and nobody else."""
    generation: int = 0
    """Number of the world, where there may be several."""
    machines: tuple[str, ...] = ()
    """What the machines are called, where they have names."""

    @property
    def first_rank(self) -> int:
        """Number of this machine's first rank."""
        return self.node * self.ranks


def environment(place: Place, port: int, local: int, attempt: int) -> dict[str, str]:
    """What a rank reads of itself in its environment, in the words of torchrun. `local`: its number on this machine;
    `attempt`: how often the ranks were started before in this world."""
    return {
        "RANK": str(place.first_rank + local),
        "WORLD_SIZE": str(place.nodes * place.ranks),
        "LOCAL_RANK": str(local),
        "LOCAL_WORLD_SIZE": str(place.ranks),
        "GROUP_RANK": str(place.node),
        "MASTER_ADDR": place.address,
        "MASTER_PORT": str(port),
        ENV_WORLD: f"{place.world}-{attempt}",
    }
