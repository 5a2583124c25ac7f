"""From a kill to the next optimizer step: three workers with a rank each, beside stock torchrun (c10d, two to three nodes), as
it is and with a store of its own for each rendezvous (TORCH_DISABLE_SHARE_RDZV_TCP_STORE).

    .venv/bin/python benchmarks/elastic/recover.py --output benchmarks/elastic/results/recover.json
    .venv/bin/python benchmarks/elastic/recover.py --rounds 20 --only ours --output benchmarks/elastic/results/recover.json
    .venv/bin/python benchmarks/elastic/recover.py --kills 1000            # of ranks of one training of ours, one by one

A round takes a quarter of an hour, most of which torchrun waits; a run that was broken off goes on with the rounds that its
output has not yet, and may add rounds of one contender alone. All on this machine, a model of some 20,000 parameters, in
turns. A rank is killed, or frozen (SIGSTOP); a worker is killed with its agent, or the worker that leads (ours) or serves the store (torchrun). Last, a third worker joins two: the time is
the pause of the training.
Of ours the next roster is published as soon as the kill is done: what an operator needs to see a lost pod is not in it,
and is measured with `benchmarks/operator/run.py`. The time runs until every rank that is left has made a step. Lost
steps are those that had to be done again.
"""

# ruff: noqa: E402 - what the tests share is found once sys.path names it
import argparse
import functools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parents[1] / "tests"))

import psutil
import torch
from figures import quantile, write
from rich.progress import track
from support import token_runs
from support.crew import Crew, Worker
from support.eventually import eventually

from pretrain_api.event_tail import EventTail

EVENTS = ("rank", "frozen", "worker", "leader", "join")
TARGETS = {
    "rank": "p50 <= 1.5 s, p95 <= 2.5 s",
    "frozen": "p95 <= 20 s",
    "worker": "p95 <= 3 s",
    "leader": "p95 <= 3 s",
    "join": "0 steps lost, pause <= 2 s",
}
PATIENCE_SECONDS = 90.0
"""After this a recovery counts as one that never came."""
Measured = dict[str, float | None]
"""`seconds` and `lostSteps` of one recovery; None when it never came."""
_NEVER: Measured = {"seconds": None, "lostSteps": None}


def ours(event: str, folder: Path) -> Measured:
    """One recovery of ours."""
    job = token_runs.a_job(folder, steps=1_000_000, globalBatchSize=12)
    job["spec"]["checkpoint"]["everySeconds"] = 100_000
    crew = Crew(folder, job)
    try:
        names = ("a", "b", "c")
        first = names[:2] if event == "join" else names
        crew.start(*first)
        crew.publish(*first)
        _until_steps(crew.workers["a"])
        if event == "join":
            crew.start("c")
            crew.publish(*names)
            if _first(lambda: _recovered_at(crew.workers["a"])) is None:
                return _NEVER
            (told,) = crew.workers["a"].recoveries
            return {"seconds": told.seconds, "lostSteps": told.lost_steps}
        victim, leader = ("a", "b") if event == "leader" else ("b", "a")
        began = time.time()
        if event == "rank":
            token_runs.ranks_of(crew.workers[victim].agent)[0].kill()
        elif event == "frozen":
            token_runs.ranks_of(crew.workers[victim].agent)[0].suspend()
        else:
            crew.workers[victim].kill()
            crew.publish(*(name for name in names if name != victim), planned=False)
        found = _first(lambda: _recovered_at(crew.workers[leader]))
        return {"seconds": found[0] - began, "lostSteps": found[1]} if found else _NEVER
    finally:
        crew.close()


def stock(event: str, folder: Path, **settings: str) -> Measured:
    """One recovery of torchrun. `settings`: of its environment."""
    endpoint = _endpoint()
    with open(folder / "log", "wb") as log:
        agents = [_agent(folder, endpoint, log, number, settings) for number in range(2 if event == "join" else 3)]
        try:
            eventually(
                lambda: len(t := _told(folder)) == len(agents) and min(map(len, t.values())) > 20, within_seconds=120
            )
            ranks = {process.pid for agent in agents for process in psutil.Process(agent.pid).children()}
            began, expected = time.time(), 2
            if event in ("rank", "frozen"):
                rank = psutil.Process(agents[1].pid).children()[0]
                rank.kill() if event == "rank" else rank.suspend()
                expected = 3
            elif event == "join":
                agents.append(_agent(folder, endpoint, log, 2, settings))
                expected = 3
            else:
                os.killpg(agents[0 if event == "leader" else 1].pid, signal.SIGKILL)
            found = _first(lambda: _all_step(folder, ranks, expected))
            if found is None:
                return _NEVER
            before = [steps[-1] for pid, steps in _told(folder).items() if pid in ranks]
            if event == "join":
                began = max(at for at, _ in before)
            return {"seconds": found[0] - began, "lostSteps": max(0, max(step for _, step in before) + 1 - found[1])}
        finally:
            for agent in agents:
                for process in [*_below(agent.pid), agent]:
                    process.kill()
                agent.wait()


def _endpoint() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def _agent(
    folder: Path, endpoint: str, log: IO[bytes], number: int, settings: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """A node of torchrun, in a session of its own; the first one serves the store."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2:3", "--nproc-per-node=1"]
    command += ["--rdzv-backend=c10d", "--rdzv-id=bench", f"--rdzv-endpoint={endpoint}", "--max-restarts=100"]
    command += ["--rdzv-conf", f"is_host={'false' if number else 'true'}", str(HERE / "stock.py"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **settings}
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def _all_step(folder: Path, before: set[int], ranks: int) -> tuple[float, int] | None:
    """When the last of so many new processes had made its first step, and which one that was."""
    new = [steps[0] for pid, steps in _told(folder).items() if pid not in before and steps]
    return (max(at for at, _ in new), new[0][1]) if len(new) >= ranks else None


def _told(folder: Path) -> dict[int, list[tuple[float, int]]]:
    """Times and numbers of the steps of each process of torchrun."""
    found = {}
    for path in folder.glob("steps-*"):
        lines = (line.split() for line in path.read_text().splitlines())
        found[int(path.name.removeprefix("steps-"))] = [
            (float(a), int(b)) for a, b in (x for x in lines if len(x) == 2)
        ]
    return found


def _below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _until_steps(leader: Worker) -> None:
    eventually(lambda: leader.steps, lambda step: step > 20, within_seconds=120)


def _recovered_at(leader: Worker) -> tuple[float, int] | None:
    """When the first recovery was told, and its lost steps."""
    try:
        lines = (leader.folder / "events.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return None
    events = [json.loads(line) for line in lines]
    return next(((e["time"], e["recovery"]["lost_steps"]) for e in events if e["recovery"]), None)


def _first(look: Callable[[], tuple[float, int] | None]) -> tuple[float, int] | None:
    try:
        return eventually(look, within_seconds=PATIENCE_SECONDS)
    except AssertionError:
        return None


CONTENDERS: dict[str, Callable[[str, Path], Measured]] = {
    "ours": ours,
    "torchrun": stock,
    # Ranks of a new rendezvous then do not meet at the store of the one before.
    "torchrun-own-store": functools.partial(stock, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1"),
}


def storm(kills: int, folder: Path) -> dict[str, Any]:
    """One training of two workers of ours; its ranks are killed one by one, each once training is further than before."""
    job = token_runs.a_job(folder, steps=100_000_000, globalBatchSize=12)
    crew, chance, seconds, lost = Crew(folder, job), random.Random(1), list[float](), 0
    try:
        crew.start("a", "b")
        crew.publish("a", "b")
        leader = crew.workers["a"]
        _until_steps(leader)
        tail = EventTail(leader.folder / "events.jsonl")
        tail.read()
        for number in track(range(1, kills + 1), "kills"):
            furthest = _step(tail)
            victim = crew.workers[chance.choice("ab")].agent
            ranks = eventually(lambda v=victim: token_runs.ranks_of(v))
            began = time.time()
            ranks[0].kill()
            try:
                eventually(
                    lambda n=number: tail.read() and tail.recovery and tail.recovery.number >= n, within_seconds=60
                )
            except AssertionError:
                break
            assert tail.recovery
            seconds.append(time.time() - began)
            lost += tail.recovery.lost_steps
            _until_new_steps(tail, furthest)
    finally:
        crew.close()
    ordered = sorted(seconds)
    return {
        "recovered": f"{len(seconds)} of {kills}",
        "p50Seconds": round(quantile(ordered, 0.5), 3),
        "p95Seconds": round(quantile(ordered, 0.95), 3),
        "mostSeconds": round(ordered[-1], 3),
        "lostStepsPerKill": round(lost / len(seconds), 3),
    }


def _step(tail: EventTail) -> float:
    """The newest step that was told of."""
    tail.read()
    return tail.newest_step.done if tail.newest_step else 0.0


def _until_new_steps(tail: EventTail, furthest: float) -> None:
    """Until training is further than ever: agents leave it to the operator when ranks die again and again before that."""
    eventually(lambda: _step(tail), lambda step: step > furthest + 20, within_seconds=60)


def summary(measured: dict[str, dict[str, list[Measured]]]) -> dict[str, Any]:
    """Per event and contender: how many came back, and quantiles of those that did."""
    found: dict[str, Any] = {}
    for event, by_contender in measured.items():
        for name, each in by_contender.items():
            seconds = sorted(m["seconds"] for m in each if m["seconds"] is not None)
            lost = [m["lostSteps"] for m in each if m["lostSteps"] is not None]
            found.setdefault(event, {})[name] = {
                "recovered": f"{len(seconds)} of {len(each)}",
                "p50Seconds": round(statistics.median(seconds), 2) if seconds else None,
                "p95Seconds": round(quantile(seconds, 0.95), 2) if seconds else None,
                "mostSeconds": round(seconds[-1], 2) if seconds else None,
                "mostLostSteps": max(lost, default=None),
            }
    return found


def main() -> int:
    """Run all rounds, contender by contender in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(CONTENDERS))
    parser.add_argument("--kills", type=int, help="kill so many ranks of one training of ours instead")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    names = [options.only] if options.only else list(CONTENDERS)
    load = os.getloadavg()[0]
    if options.kills:
        with tempfile.TemporaryDirectory() as folder:
            found = storm(options.kills, Path(folder))
        print("  ".join(f"{key} {value}" for key, value in found.items()))
        write(options.output, load, {"torch": torch.__version__, "storm": found})
        return 0
    before = json.loads(options.output.read_text()) if options.output and options.output.exists() else {}
    measured: dict[str, dict[str, list[Measured]]] = before.get("measured", {event: {} for event in EVENTS})
    turns = [(round_, event, name) for round_ in range(options.rounds) for event in EVENTS for name in names]
    for round_, event, name in track(turns, "kills"):
        done = measured[event].setdefault(name, [])
        if len(done) > round_:
            continue
        with tempfile.TemporaryDirectory() as folder:
            done.append(CONTENDERS[name](event, Path(folder)))
        write(options.output, load, {"torch": torch.__version__, "targets": TARGETS, "measured": measured})
    table = summary(measured)
    for event, by_contender in table.items():
        for name, figures in by_contender.items():
            print(f"{event:8} {name:18} " + "  ".join(f"{key} {value}" for key, value in figures.items()))
        print(f"{event:8} {'target':18} {TARGETS[event]}")
    write(options.output, load, {"summary": table})
    return 0


if __name__ == "__main__":
    sys.exit(main())
