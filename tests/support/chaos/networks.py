"""What is done to the network of a cluster's nodes. Loss is made by iptables and slowness by a token bucket: netem is a module
that not every kernel has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from support.chaos.place import Break, Place

_OUT, _IN = ("-o", "eth0"), ("-i", "eth0")


@contextlib.contextmanager
def cut_off(place: Place) -> Iterator[None]:
    node = place.a_node()
    node.cut_off()
    try:
        yield
    finally:
        node.reconnect()


def unheard(*which: str) -> Break:
    """What leaves a node, its pods' packets included, is lost: iptables' words for which of it."""
    return _lost({"FORWARD": _OUT, "OUTPUT": _OUT}, *which)


def deaf(*which: str) -> Break:
    """The other direction: of what comes to a node."""
    return _lost({"FORWARD": _IN, "INPUT": _IN}, *which)


def _lost(chains: dict[str, tuple[str, str]], *which: str) -> Break:
    @contextlib.contextmanager
    def broken(place: Place) -> Iterator[None]:
        node = place.a_node()
        rules = [(chain, *direction, *which, "-j", "DROP") for chain, direction in chains.items()]
        for rule in rules:
            done = node.run("iptables", "-w", "-I", *rule)
            assert done.returncode == 0, done.stderr
        try:
            yield
        finally:
            for rule in rules:
                node.run("iptables", "-w", "-D", *rule)

    return broken


@contextlib.contextmanager
def slow(place: Place) -> Iterator[None]:
    """A megabit a second out of a node."""
    node = place.a_node()
    done = node.run(
        "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "16k", "latency", "200ms"
    )
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        node.run("tc", "qdisc", "delete", "dev", "eth0", "root")
