"""The measures, one function each: what is done, what is waited for, and the figures that come out."""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import hot
from load import Load
from place import RAISED, Operator, Place
from sight import Sight

from pretrain_api import cluster

JOBS = "jobs"
"""Namespace of the jobs, and the only one that their operator looks at."""
LARGE = "large"
LIMITED = "limited"
Figures = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    jobs: int = 1000
    workers: int = 10
    rounds: int = 4
    """Into so many parts the jobs are divided; during the last one, which does not count, the operator is profiled."""
    restarts: int = 2
    losses: int = 120
    idle_seconds: int = 45
    large: int = 4096
    limited: int = 40


QUICK = Size(jobs=20, workers=2, rounds=2, restarts=1, losses=3, idle_seconds=4, large=24, limited=3)


async def creation(place: Place, load: Load, operator: Operator, size: Size, names: list[str]) -> Figures:
    """Pods a second from apply to the last pod: the operator beside two bare clients, in turns."""
    await load.namespace("bare-pods")
    share, rounds, profile = size.jobs // size.rounds, [], hot.Profile()
    for number in range(size.rounds):
        part, pods = names[number * share : (number + 1) * share], share * size.workers
        is_counted = number < size.rounds - 1
        await load.jobs_before_training(JOBS, part, size.workers)
        figures: Figures = {}
        if is_counted:
            await load.accounts("bare-pods", part)
            figures["barePods"] = await _timed(place, pods, load.bare_pods("bare-pods", part, size.workers))
            await load.remove_pods("bare-pods")
            await load.namespace(f"bare-objects-{number}")
            figures["bareObjects"] = await _timed(
                place, pods, load.bare_objects(f"bare-objects-{number}", part, size.workers)
            )
            await load.remove_pods(f"bare-objects-{number}")
        await place.until_quiet()
        before, writes, begin = operator.cpu_seconds(), await asyncio.to_thread(place.writes), time.monotonic()
        with operator.profiled() if not is_counted else nullcontext(list[str]()) as stacks:
            figures["operator"] = await _timed(place, pods, _applied(load, part, pods * (number + 1)))
        figures["operator"]["cpuSecondsPerPod"]["operator"] = (operator.cpu_seconds() - before) / pods
        await load.until_published(JOBS, part, size.workers)
        figures["published"] = {
            "seconds": time.monotonic() - begin,
            "operatorCpuSecondsPerPod": (operator.cpu_seconds() - before) / pods,
            "writesPerJob": _more(writes, await asyncio.to_thread(place.writes), share),
        }
        print("creation", figures, flush=True)
        if is_counted:
            rounds.append(figures)
        profile = hot.profile(stacks)
    print(profile, flush=True)
    return {
        "podsPerSecond": {
            name: statistics.median(r[name]["podsPerSecond"] for r in rounds)
            for name in ("operator", "barePods", "bareObjects")
        },
        "ratio": _ratio(rounds, "barePods"),
        "ratioToAllObjects": _ratio(rounds, "bareObjects"),
        "ratioOfRunning": _ratio(rounds, "barePods", "runningPodsPerSecond"),
        "ratioOfRunningToAllObjects": _ratio(rounds, "bareObjects", "runningPodsPerSecond"),
        "rounds": rounds,
        "profile": profile,
    }


async def limited(place: Place, load: Load, size: Size) -> Figures:
    """The same with the operator's default client limits."""
    await load.namespace(LIMITED)
    names = [f"job-{number}" for number in range(size.limited)]
    with place.operator(LIMITED) as operator:
        operator.until_ready()
        await load.jobs_before_training(LIMITED, names, size.workers)
        begin = time.monotonic()
        await load.start_training(LIMITED, names)
        await load.until_pods(LIMITED, size.limited * size.workers)
        return {"podsPerSecond": size.limited * size.workers / (time.monotonic() - begin)}


async def restart(load: Load, operator: Operator, size: Size, names: list[str]) -> Figures:
    """From the start of a process to the first reconcile of every job, and to a loss that nobody was there to see."""
    found, profile = [], hot.Profile()
    for number in range(size.restarts + 1):
        operator.kill()
        job = names[number]
        async with Sight(load.client, JOBS).open(pods=False) as sight:
            await load.lose(JOBS, cluster.worker_name(job, 0, attempt=1))  # each job loses once
            operator.log.unlink()
            begin = time.monotonic()
            operator.start()
            with operator.profiled() if number == size.restarts else nullcontext(list[str]()) as stacks:
                noticed = asyncio.create_task(sight.disrupted(job, 0))
                figures = {"childrenKnown": -1.0, "allReconciled": -1.0}
                while figures["allReconciled"] < 0:
                    await asyncio.sleep(0.1)
                    now = time.monotonic() - begin
                    if figures["childrenKnown"] < 0 and await asyncio.to_thread(operator.knows_children):
                        figures["childrenKnown"] = now
                    elif (
                        figures["childrenKnown"] >= 0 and await asyncio.to_thread(operator.jobs_reconciled) >= size.jobs
                    ):
                        figures["allReconciled"] = now
                figures["lossNoticed"] = await noticed - begin
            await load.until_published(JOBS, [job], size.workers)
        print("restart", {k: round(v, 2) for k, v in figures.items()}, flush=True)
        if number < size.restarts:
            found.append(figures)
        profile = hot.profile(stacks)
    return {
        "seconds": {name: statistics.median(f[name] for f in found) for name in found[0]},
        "rounds": found,
        "profile": profile,
    }


async def idle(place: Place, load: Load, size: Size, names: list[str]) -> Figures:
    """Writes a second and job while all jobs train and nothing else happens: without reports and with them."""
    silent = await _writes(place, size.idle_seconds)
    async with load.reporting(JOBS, names):
        await asyncio.sleep(
            min(_FIRST_FIGURES_SECONDS, size.idle_seconds)
        )  # until each job has a first figure in its status
        reported = await _writes(place, size.idle_seconds)
    seconds = size.idle_seconds * size.jobs
    return {
        "writes": {"silent": silent, "reporting": reported},
        "perJobAndSecond": {
            "silent": sum(v for k, v in silent.items() if k in _OWN) / seconds,
            "reporting": sum(v for k, v in reported.items() if k in _OWN - {"configmaps"}) / seconds,
        },
    }


_FIRST_FIGURES_SECONDS = 35
_OWN = {"pretrainjobs", "pretrainjobs/status", "configmaps", "pods", "events", "jobs"}
"""What an operator writes. ConfigMaps are left out while the workers' reports are written to them."""


async def reaction(load: Load, operator: Operator, size: Size, names: list[str], seed: int) -> Figures:
    """From the loss of a worker to what the operator does about it, with all jobs reporting.

    Beside it a bare client's write is timed, so that a slow reaction can be told from a slow cluster.
    """
    draw, found, profile = random.Random(seed), [], hot.Profile()
    jobs = draw.sample(names[size.restarts + 1 :], min(size.losses, size.jobs - size.restarts - 1))
    profiled = max(1, len(jobs) // 10)
    async with Sight(load.client, JOBS).open() as sight, load.reporting(JOBS, names):
        async with load.probing(JOBS) as writes:
            for number, job in enumerate(jobs):
                if number == len(jobs) - profiled:
                    break
                found.append(await _loss(load, sight, job, draw.randrange(size.workers)))
        with operator.profiled() as stacks:
            for job in jobs[len(jobs) - profiled :]:
                await _loss(load, sight, job, 0)
        profile = hot.profile(stacks)
    figures = {
        name: {"p50": _quantile([f[name] for f in found], 0.5), "p99": _quantile([f[name] for f in found], 0.99)}
        for name in found[0]
    }
    bare = {"p50": _quantile(writes, 0.5), "p99": _quantile(writes, 0.99), "max": max(writes)}
    print("reaction", figures, bare, flush=True)
    return {"seconds": figures, "bareWriteSeconds": bare, "losses": found, "profile": profile}


async def large(load: Load, operator: Operator, size: Size) -> Figures:
    """One job of thousands of workers: its start, and the loss of one of them."""
    name, before = "large", await load.pods(JOBS)
    await load.jobs_before_training(JOBS, [name], size.large)
    begin = time.monotonic()
    with operator.profiled() as stacks:
        async with Sight(load.client, JOBS).open(pods=False) as sight:
            await load.start_training(JOBS, [name])
            await load.until_pods(JOBS, before + size.large)
            created = time.monotonic() - begin
            published = await sight.when(lambda: sight.generations.get(name) == 1) - begin
            print("large", created, published, flush=True)
            await load.until_published(JOBS, [name], size.large)
            loss = await _loss(load, sight, name, size.large // 2, sees_pods=False)
    print("large", loss, flush=True)
    return {
        "startSeconds": {"podsCreated": created, "worldPublished": published},
        "podsPerSecond": size.large / created,
        "lossSeconds": loss,
        "profile": hot.profile(stacks),
    }


async def _loss(load: Load, sight: Sight, job: str, worker: int, *, sees_pods: bool = True) -> dict[str, float]:
    """Lose a worker of a job that trains with all or not at all: another one takes its place in the next roster."""
    counted, there = sight.disruptions.get(job, 0), sight.pods.get((job, "1"), 0)
    begin = time.monotonic()
    await load.lose(JOBS, cluster.worker_name(job, worker, 1))
    recorded = asyncio.create_task(sight.disrupted(job, counted))
    made = asyncio.create_task(sight.when(lambda: not sees_pods or sight.pods.get((job, "1"), 0) > there))
    published = asyncio.create_task(sight.when(lambda: sight.generations.get(job, 0) == 2))
    times = {"recorded": await recorded, "workerCreated": await made, "worldPublished": await published}
    return {name: at - begin for name, at in times.items() if sees_pods or name != "workerCreated"}


async def _writes(place: Place, seconds: int) -> dict[str, float]:
    before = await asyncio.to_thread(place.writes)
    begin = time.monotonic()
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(place.writes)
    print("idle", round(time.monotonic() - begin, 1), flush=True)
    return _more(before, after, 1)


def _more(before: dict[str, float], after: dict[str, float], share: int) -> dict[str, float]:
    found = {name: (count - before.get(name, 0)) / share for name, count in sorted(after.items())}
    return {name: count for name, count in found.items() if count}


async def _applied(load: Load, names: list[str], pods: int) -> None:
    """Start the training of jobs and wait until there are so many pods in all."""
    await load.start_training(JOBS, names)
    await load.until_pods(JOBS, pods)


async def _timed(place: Place, pods: int, work: Awaitable[object]) -> Figures:
    """Until the pods are made, and until they run: binding and starting them overlaps with making the next."""
    await place.until_quiet()
    started = (await asyncio.to_thread(place.writes)).get(_PODS_STARTED, 0.0)
    before, begin = place.cpu_seconds(), time.monotonic()
    await work
    seconds, after = time.monotonic() - begin, place.cpu_seconds()
    await place.until_written(_PODS_STARTED, started + pods)
    cpu = {name: (used - before.get(name, 0)) / pods for name, used in after.items()}
    return {
        "podsPerSecond": pods / seconds,
        "runningPodsPerSecond": pods / (time.monotonic() - begin),
        "cpuSecondsPerPod": cpu,
    }


_PODS_STARTED = "pods/status"
"""KWOK writes the status of a pod once: that it runs."""


def _ratio(rounds: list[Figures], rival: str, figure: str = "podsPerSecond") -> float:
    return statistics.median(r["operator"][figure] / r[rival][figure] for r in rounds)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


__all__ = ["JOBS", "QUICK", "RAISED", "Size", "creation", "idle", "large", "limited", "reaction", "restart"]
