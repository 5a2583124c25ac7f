"""Breaks a run of `pretrain run` on this machine again and again: kills or freezes one of its ranks, or kills a worker.

    python examples/break_things.py examples/elastic.yaml
    python examples/break_things.py examples/elastic.yaml --every 5 --times 20 --seed 7

`pretrain status examples/elastic.yaml` shows the newest recovery; `pretrain data audit examples/elastic.yaml` proves at the
end that every sample was read once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
from pathlib import Path

from pretrain_api.process_tree import tree

WAYS = {
    ("kills a rank", "rank", signal.SIGKILL): 5,
    ("freezes a rank", "rank", signal.SIGSTOP): 3,
    ("kills a worker", "agent", signal.SIGKILL): 2,
}
"""What is done, to whom, with which signal, and how often beside the others."""


def command(pid: int) -> list[str]:
    """The words that a process was started with; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def name(pid: int) -> str:
    """What a process calls itself."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def run_of(job: str) -> int | None:
    """The `pretrain run` of a job file on this machine."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            words = command(int(entry))
            if "run" in words and job in words and any(Path(word).name == "pretrain" for word in words[:2]):
                return int(entry)
    return None


def victims(job: str, what: str) -> list[int]:
    """The ranks of a run, or the agents of its workers, which take their ranks with them; none while it does not train."""
    run = run_of(job)
    below = tree(run)[1:] if run else []
    ranks = [pid for pid in below if name(pid).startswith("rank ")]
    if what == "rank" or not ranks:
        return ranks
    return [pid for pid in below if "pretrain_trainer.agent" in command(pid)[2:3] and pid not in ranks]


def main() -> int:
    """Break things until there is nothing left to break."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", help="the job file, as `pretrain run` was given it")
    parser.add_argument(
        "--every", type=float, default=10.0, metavar="SECONDS", help="time between two breaks, on average"
    )
    parser.add_argument("--times", type=int, default=1_000_000, help="how often at most")
    parser.add_argument("--seed", type=int, help="of what breaks and when")
    options = parser.parse_args()
    chance, pause = random.Random(options.seed), threading.Event()
    if run_of(options.job) is None:
        print(f"nothing runs {options.job}; start it with: pretrain run {options.job}", file=sys.stderr)
        return 2
    broken = 0
    while broken < options.times and run_of(options.job) is not None:
        pause.wait(chance.uniform(0.5, 1.5) * options.every)
        way, what, number = chance.choices(list(WAYS), list(WAYS.values()))[0]
        found = victims(options.job, what)
        if found:  # otherwise it does not train yet, or any more
            pid = chance.choice(found)
            os.kill(pid, number)
            broken += 1
            print(f"{way}: process {pid} ({name(pid)})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
