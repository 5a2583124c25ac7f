"""How far one operator scales: many jobs, many pods, on a real API server with simulated nodes, through real Kopf.

    .venv/bin/python benchmarks/operator/run.py --output benchmarks/operator/results/NAME.json
    .venv/bin/python benchmarks/operator/run.py --quick
    .venv/bin/python benchmarks/operator/run.py --jobs 400 --large 512

In one run: pods a second beside a bare client in turns, restart, memory, writes of idle jobs, reaction to a lost
worker, one very large job. The jobs begin at training: they are made suspended, their earlier stages are recorded as
complete, and what is timed begins when their suspension is lifted. etcd, API server, scheduler, KWOK, operator and
bare client share this machine; other work on it makes every figure worse.
"""

# ruff: noqa: E402 - what the tests share is found once sys.path names it
import argparse
import asyncio
import json
import os
import platform
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parents[1] / "tests"))

import measures
import place as places
from load import Load
from measures import JOBS, QUICK, RAISED, Size

TARGETS = {
    "creationRatio": ">= 0.8",
    "restartSeconds": "<= 5",
    "residentMegabytes": "<= 400",
    "reactionP99Seconds": "<= 0.5",
    "writesPerIdleJobAndSecond": "<= 0.1",
    "largeWorldSeconds": "<= 5",
}


async def measured(size: Size, seed: int) -> dict[str, Any]:
    """All figures of one run."""
    from pretrain_operator.bodies.kubernetes.client import configuration

    load_before = os.getloadavg()[0]
    with places.place() as place:
        os.environ["KUBECONFIG"] = str(place.plane.kubeconfig)
        found: dict[str, Any] = {"loadBefore": load_before, "kubernetes": places.version_of(place.plane)}
        names = [f"job-{number:04}" for number in range(size.jobs)]
        async with Load(await configuration()).opened() as load:
            await load.namespace(JOBS)
            with place.operator(JOBS, *RAISED) as operator:
                operator.until_ready()
                found["creation"] = await measures.creation(place, load, operator, size, names)
                found["memory"] = {"residentBytes": operator.resident_bytes()}
                found["restart"] = await measures.restart(load, operator, size, names)
                found["memory"]["residentBytesAfterRestart"] = operator.resident_bytes()
                found["idle"] = await measures.idle(place, load, size, names)
                found["memory"]["residentBytesAfterReports"] = operator.resident_bytes()
                found["reaction"] = await measures.reaction(load, operator, size, names, seed)
                found["large"] = await measures.large(load, operator, size)
                found["memory"]["residentBytesWithLargeJob"] = operator.resident_bytes()
            found["limited"] = await measures.limited(place, load, size)
    return found


def summary(found: dict[str, Any]) -> dict[str, float]:
    """The figure of each target."""
    memory = max(found["memory"][name] for name in ("residentBytes", "residentBytesAfterRestart"))
    return {
        "creationRatio": found["creation"]["ratio"],
        "restartSeconds": max(found["restart"]["seconds"][name] for name in ("allReconciled", "lossNoticed")),
        "residentMegabytes": memory / 1e6,
        "reactionP99Seconds": found["reaction"]["seconds"]["worldPublished"]["p99"],
        "writesPerIdleJobAndSecond": max(found["idle"]["perJobAndSecond"].values()),
        "largeWorldSeconds": found["large"]["lossSeconds"]["worldPublished"],
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def report(found: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """What is kept of a run: the figures beside their targets, where and with what they were taken, all raw numbers."""
    figures = summary(found)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "loadBefore": found["loadBefore"]},
        "versions": {
            "python": platform.python_version(),
            "kubernetesServer": found["kubernetes"],
            **{name: version(name) for name in ("kopf", "kubernetes", "aiohttp", "pydantic")},
        },
        "settings": {**vars(size), "seed": seed, "operatorFlags": list(RAISED)},
        "targets": {name: {"target": TARGETS[name], "measured": round(figures[name], 4)} for name in TARGETS},
        **{name: found[name] for name in ("creation", "restart", "memory", "idle", "reaction", "large", "limited")},
    }


def main() -> None:
    """Run it all, print the figures beside their targets, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small size, to see that everything works")
    parser.add_argument("--jobs", type=int, help="fewer jobs, for a slow machine; a multiple of 4")
    parser.add_argument("--large", type=int, help="workers of the one large job")
    parser.add_argument("--seed", type=int, default=1, help="which workers are lost")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with us
    chosen = {name: getattr(options, name) for name in ("jobs", "large") if getattr(options, name)}
    size = replace(QUICK if options.quick else Size(), **chosen)
    found = asyncio.run(measured(size, options.seed))
    result = report(found, size, options.seed)
    print(json.dumps(result["targets"], indent=1))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
