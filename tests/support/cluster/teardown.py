"""The end of a cluster of nodes, wherever it comes from: stopped in order, interrupted half-way, or killed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
from support.cluster import control_groups, mounts, places, processes
from support.cluster.network import Network
from support.cluster.places import Lock

_KIND = "cluster"
_KEPT = "kept"


def folder_of(network: Network) -> Path:
    return places.STATE / f"{_KIND}-{network.number}"


def tear_down(network: Network) -> None:
    """End and remove everything of a cluster. What is gone already is fine."""
    folder = folder_of(network)
    first = [process for node in sorted(folder.glob("node-*")) for process in processes.recorded(node)]
    others = [
        process for part in (folder, folder / "s3", folder / "prometheus") for process in processes.recorded(part)
    ]
    # A node's containers are no children of ours, but all below the node's first process.
    running = [each for process in first for each in _with_children(process.process)]
    for process in [*first, *others]:
        process.kill()
    processes.wait_for_end(running)
    mounts.unmount_below(folder)  # an interrupted run may have left its S3 server full
    network.delete()
    control_groups.remove(network.prefix)
    shutil.rmtree(folder, ignore_errors=True)


def keep(network: Network, nodes: int) -> None:
    """Mark a complete cluster as one that outlives the process that made it."""
    (folder_of(network) / _KEPT).write_text(json.dumps({"nodes": nodes}))


def kept() -> Iterator[tuple[Network, int]]:
    """Clusters that were kept and still run, with the number of their nodes."""
    for path in sorted(places.STATE.glob(f"{_KIND}-*/{_KEPT}")):
        if processes.named(path.parent, "kube-apiserver"):
            yield Network(int(path.parent.name.rpartition("-")[2])), json.loads(path.read_text())["nodes"]


def clean_up() -> None:
    """End and remove what interrupted runs left, and kept clusters that no longer run."""
    running = [folder_of(network) for network, _ in kept()]
    for folder, lock in places.left_behind(_KIND):
        if folder in running:
            lock.release()
        else:
            tear_down(Network(int(folder.name.rpartition("-")[2])))
            lock.remove()


def claim(network: Network) -> Lock | None:
    """The right to a cluster's number; none where another process or a kept cluster has it."""
    lock = places.lock_of(folder_of(network))
    if lock.held and folder_of(network).exists():  # a kept one: clean_up has removed all others
        lock.release()
    return lock if lock.held else None


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
