"""Whether the cluster's nodes have what a job's workers ask for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pretrain_api.findings import Finding, Level
from pretrain_api.nouns import counted
from pretrain_api.types import PretrainJob

Json = Mapping[str, Any]
_ADVICE = (
    "`kubectl describe nodes` shows what they have; a GPU counts once its vendor's device plugin runs on the node."
)
_ON_A_NODE = "What a node's GPUs and NCCL can do: kubectl exec POD -- python -m pretrain_trainer.diagnosing machine."


def findings(found: Sequence[Json], job: PretrainJob | None) -> Iterator[Finding]:
    """What the nodes have; then whether the job's workers fit. What runs on them is not counted."""
    usable = [node for node in found if _is_usable(node)]
    what = f"{len(usable)} of {counted(len(found), 'node')} ready and schedulable"
    if not usable:
        yield _finding("nodes", "failure", f"{what}.", "`kubectl describe nodes` says why.")
        return
    yield _finding("nodes", "ok" if len(usable) == len(found) else "warning", f"{what}.")
    have = [devices(node["status"].get("allocatable", {})) for node in usable]
    total = Counter[str]()
    for each in have:
        total.update(each)
    if not total:
        yield _finding("gpus", "warning", "no node offers devices: training runs on CPUs.", _ADVICE)
    else:
        figures = ", ".join(f"{count} {name} on {sum(name in each for each in have)}" for name, count in total.items())
        yield _finding("gpus", "ok", f"{figures} of {counted(len(usable), 'node')}.", _ON_A_NODE)
    if job is not None:
        yield from _fit(have, job)


def devices(quantities: Mapping[str, Any]) -> dict[str, int]:
    """Extended resources, whole numbers by definition: nvidia.com/gpu. Those that are 0 are left out."""
    found = {name: int(value) for name, value in quantities.items() if "/" in name and str(value).isdigit()}
    return {name: count for name, count in found.items() if count}


def _fit(have: Sequence[Mapping[str, int]], job: PretrainJob) -> Iterator[Finding]:
    workers = job.spec.workers
    wanted = devices(workers.resources.limits)
    if not wanted:
        return
    each = ", ".join(f"{count} {name}" for name, count in wanted.items())
    room = sum(min(node.get(name, 0) // count for name, count in wanted.items()) for node in have)
    if room == 0:
        yield _finding("workers", "failure", f"no node has {each}, which spec.workers.resources asks for.", _ADVICE)
    elif room < workers.min:
        what = f"{counted(room, 'worker')} of {each} fit at the same time, spec.workers.min is {workers.min}."
        yield _finding("workers", "failure", what, f"Write spec.workers.min: {room} or less, or add nodes.")
    elif room < workers.max:
        what = f"{counted(room, 'worker')} of {each} fit at the same time, spec.workers.max is {workers.max}."
        yield _finding("workers", "warning", what, "It trains with those that fit, and takes in more when nodes come.")
    else:
        yield _finding("workers", "ok", f"{workers.max} of {each} fit on empty nodes.")


def _is_usable(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return is_ready and not node["spec"].get("unschedulable", False)


def _finding(check: str, level: Level, message: str, advice: str = "") -> Finding:
    return Finding("Cluster", check, level, message, advice)
