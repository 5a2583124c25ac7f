"""Which share of the time of a thousand nodes becomes training, with what we measured that recoveries cost.

    .venv/bin/python benchmarks/elastic/goodput.py
    .venv/bin/python benchmarks/elastic/goodput.py --hours-between 1 --spares 0 --replace-seconds 600

Failures come at random (exponential times between them), 3.1 h apart over all nodes as in the training of Llama 3 405B
(Grattafiori et al. 2024, section 3.3.4: 419 unexpected interruptions in 54 days on 16,384 GPUs). Each is of a kind; a node
that is lost leaves the others training, slower by its part, until a spare or a new node has its place. What is lost: the pause,
the steps since the last copy in memory, the slower time, what copies and checkpoints hold up. Beside it the same failures for a
training that starts again from its last checkpoint.
"""

import argparse
import json
import math
import random
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEASURED = HERE / "results" / "recover.json"
KINDS = {"rank": 0.15, "worker": 0.7, "frozen": 0.05, "planned": 0.1}
"""Share of each kind: a process dies; a machine is lost and seen to be; it is frozen or cut off; it is drained with notice."""
TARGET = 0.99


@dataclass(frozen=True)
class Costs:
    """Seconds."""

    step: float = 5.0
    copy: float = 0.05
    """The state of a GPU's shard into host memory: 1.3 GB at 25 GB/s."""
    copy_share: float = 0.005
    """Share of the time that copies may take (`snapshots._MOST_OF_THE_TIME`)."""
    checkpoint_every: float = 300.0
    checkpoint_stall: float = 0.3
    operator: float = 0.54
    """From the loss of a pod to the next roster (benchmarks/operator, median)."""
    rank: float = 1.1
    worker: float = 1.1
    frozen: float = 16.0
    join: float = 1.0
    """The pause in which a worker is taken in."""
    restart: float = 300.0
    """Of the other training: until all pods, processes and the checkpoint are there again."""

    @property
    def copy_every(self) -> float:
        return max(self.step, math.ceil(self.copy / self.copy_share / self.step) * self.step)

    @property
    def overhead(self) -> float:
        """Share of the time that copies and checkpoints hold up."""
        return self.copy / (self.copy_every + self.copy) + self.checkpoint_stall / self.checkpoint_every


def measured_costs() -> Costs:
    """With the medians of recover.py where they are there."""
    if not MEASURED.exists():
        return Costs()
    summary = json.loads(MEASURED.read_text())["summary"]
    found = {event: summary[event]["ours"]["p50Seconds"] for event in ("rank", "worker", "join")}
    return Costs(**found)


def ours(costs: Costs, chance: random.Random, failures: list[str], nodes: int, spares: int, replace: float) -> float:
    """Seconds lost to failures."""
    lost, spare_ready = 0.0, spares
    for kind in failures:
        redone = 0.0 if kind == "planned" else chance.uniform(0, costs.copy_every) + costs.step / 2
        if kind == "rank":
            lost += costs.rank + redone
            continue
        pause = {"worker": costs.operator + costs.worker, "frozen": costs.frozen + costs.worker, "planned": costs.join}
        lost += pause[kind] + redone
        if spare_ready:
            continue  # the spare is in the same roster, and a new one takes its place while training goes on
        lost += replace / nodes + costs.join
    return lost


def from_checkpoint(costs: Costs, chance: random.Random, failures: list[str]) -> float:
    """Seconds that the same failures cost a training that starts again from its last checkpoint."""
    return sum(costs.restart + chance.uniform(0, costs.checkpoint_every) for _ in failures)


def simulated(costs: Costs, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    """Goodput of ours and of the other training."""
    chance, seconds = random.Random(seed), options.days * 86400.0
    failures, at = [], 0.0
    while (at := at + chance.expovariate(1 / (options.hours_between * 3600))) < seconds:
        failures.append(chance.choices(list(KINDS), list(KINDS.values()))[0])
    lost = ours(costs, chance, failures, options.nodes, options.spares, options.replace_seconds)
    other = from_checkpoint(costs, chance, failures)
    stall = costs.checkpoint_stall / costs.checkpoint_every
    return (seconds - lost) / seconds * (1 - costs.overhead), (seconds - other) / seconds * (1 - stall)


def main() -> int:
    """Print the figures beside the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--hours-between", type=float, default=3.1, help="failures of all nodes together")
    parser.add_argument("--spares", type=int, default=2)
    parser.add_argument("--replace-seconds", type=float, default=120.0, help="until a new worker is there")
    parser.add_argument("--days", type=float, default=54.0)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    costs = measured_costs()
    runs = [simulated(costs, options, seed) for seed in range(options.runs)]
    figures = {}
    for name, values in zip(("ours", "from a checkpoint"), zip(*runs, strict=True), strict=True):
        tenths = statistics.quantiles(values, n=20)
        figures[name] = {"p50": round(statistics.median(values), 5), "p5": round(tenths[0], 5)}
        print(f"{name:18} p50 {figures[name]['p50']:.2%}  p5 {figures[name]['p5']:.2%}")
    print(
        f"target: {TARGET:.0%}; copies and checkpoints alone cost {costs.overhead:.2%}, a copy every {costs.copy_every:.0f} s"
    )
    if options.output:
        content = {"costs": vars(costs), "kinds": KINDS, "nodes": options.nodes, "hoursBetween": options.hours_between,
                   "spares": options.spares, "days": options.days, "runs": options.runs, "goodput": figures}  # fmt: skip
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
