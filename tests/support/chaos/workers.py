"""What is done to a cluster's workers while they train: killed, deleted, evicted, out of memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from support.chaos.place import Break, Place
from support.cluster import control_groups
from support.cluster.kubectl import Failed
from support.eventually import eventually
from support.pods import KILL

_HOG = "import os; [os.fork() for _ in range(2)]; held = bytearray(96 << 20)"
"""Four processes, each smaller than a rank: when there is too little for all, the kernel takes the largest."""


def at_once(action: Callable[[Place], object]) -> Break:
    """Of what needs no mending."""

    @contextlib.contextmanager
    def broken(place: Place) -> Iterator[None]:
        action(place)
        yield

    return broken


def killed(what: str) -> Break:
    """A process of a worker, by the beginning of its name or its module. The kubelet that carries it out may have come back
    from the event before a moment ago, and not answer yet."""

    def is_done(place: Place) -> bool:
        try:
            place.job.kubectl("exec", place.a_worker(), "--", "python", "-c", KILL, what)
        except Failed as error:
            if "error dialing backend" not in str(error):  # what was begun must not be done twice
                raise
            return False
        return True

    return at_once(lambda place: eventually(lambda: is_done(place), within_seconds=60, every_seconds=1))


def deleted(*flags: str) -> Break:
    return at_once(lambda place: place.job.kubectl("delete", "pod", place.a_worker(), "--wait=false", *flags))


def evicted(place: Place) -> None:
    name = place.a_worker()
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": place.job.namespace},
    }
    path = f"/api/v1/namespaces/{place.job.namespace}/pods/{name}/eviction"
    place.cluster.kubectl("create", "--raw", path, "-f", "-", objects=eviction)


def out_of_memory(place: Place) -> None:
    """A worker's limit is what it uses now, and something more in its container needs memory: the kernel kills for it."""
    name = place.a_worker()
    group = f"{place.cluster.network.prefix}/{place.node_of(name).name}"
    with control_groups.squeezed(group, place.container_of(name)) as has_killed:

        def have_come() -> bool:
            with contextlib.suppress(Failed):  # it was among those that were killed
                place.job.kubectl("exec", name, "--", "python", "-c", _HOG)
            return has_killed()

        eventually(have_come, within_seconds=60, every_seconds=1)
