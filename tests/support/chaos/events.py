"""What is done to a cluster that trains. Each event is a context: what it breaks is mended at its end."""

from __future__ import annotations

from dataclasses import dataclass

from support.chaos import machines, networks, workers
from support.chaos.place import Break
from support.cluster.installation import kill_leader


@dataclass(frozen=True)
class Event:
    """One kind of fault."""

    name: str
    broken: Break
    seconds: float = 0.0
    """How long it stays broken."""
    alone: bool = False
    """Whether no other event can begin while it lasts, as the API server is needed for that."""


_SOME = ("-m", "statistic", "--mode", "random", "--probability", "0.05")
EVENTS = (
    Event("rank killed", workers.killed("rank ")),
    Event("agent killed", workers.killed("pretrain_trainer.agent")),
    Event("pod deleted", workers.deleted()),
    Event("pod deleted by force", workers.deleted("--grace-period=0", "--force")),
    Event("pod evicted", workers.at_once(workers.evicted)),
    Event("out of memory", workers.at_once(workers.out_of_memory)),
    Event("operator killed", workers.at_once(lambda place: kill_leader(place.cluster.kubectl))),
    Event("kubelet away", machines.without_kubelet, 10),
    Event("containerd away", machines.without_containerd, 10),
    Event("API server away", machines.without_api_server, 15, alone=True),
    Event("etcd away", machines.without_etcd, 15, alone=True),
    Event("node cut off", networks.cut_off, 30),
    Event("node frozen", machines.frozen, 30),
    Event("clock wrong", machines.with_wrong_clock, 20),
    Event("node drained", machines.drained, 15),
    Event("node announced to go", machines.announced, 20),
    Event("storage away", machines.without_storage, 15),
    Event("storage hangs", machines.hanging_storage, 15),
    Event("storage full", machines.full_storage, 15),
    Event("network slow", networks.slow, 15),
    Event("packets lost", networks.unheard(*_SOME), 15),
    Event("node heard by nobody", networks.unheard(), 30),
    Event("node hears nobody", networks.deaf(), 30),
)
