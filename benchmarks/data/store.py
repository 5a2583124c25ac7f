"""One worker that reads shards from an S3 server on this machine: how fast, how long it waits for batches at 6 million tokens
a second, what faults cost, and how soon it begins after a resume among a billion samples.

    .venv/bin/python benchmarks/data/store.py --output benchmarks/data/results/store.json

Server, proxy and worker share the machine, so the longest waits may be its own: "still" is the same consumer at the same pace
with a thread that hands it one batch again and again. Waits are pooled over the rounds. The faults: 1 % of the requests are answered with an error, 1 % two seconds late,
one connection in 200 is cut, and every answer takes 50 ms; the undisturbed turns go through the same proxy without them.
"""

# ruff: noqa: E402 - what the tests share is found once sys.path names it
import argparse
import contextlib
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests")]

import corpus
import psutil
from support.cluster.s3 import S3Server, s3_server
from support.s3_proxy import Weather, s3_proxy

from pretrain_api.commits import WeightSegment
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.data.batches import AHEAD, Batch

BATCH = 64
PACE = 6e6
"""Tokens a second."""
_WARM = 50
"""Batches before the clock of a long turn starts."""
ROUGH = Weather(1, errors=0.01, late=0.01, late_seconds=2.0, cuts=0.005, latency_seconds=0.05)
SHARDS, SAMPLES = 20_000, 1_000_000_000
TARGETS = {
    "millionTokensPerSecond": ">= 6",
    "waitP999OfAStep": "< 0.01",
    "rateWithFaults": ">= 0.9",
    "resumeSeconds": "< 5",
    "manifestMegabytes": "<= 100",
    "positionBytes": "<= 1024",
}


class Still:
    """One batch again and again, through a queue and a thread as those of `GlobalBatches`."""

    def __init__(self, batch: Batch) -> None:
        self._ready: queue.Queue[Batch] = queue.Queue(AHEAD)
        threading.Thread(target=self._fill, args=(batch,), daemon=True).start()

    def _fill(self, batch: Batch) -> None:
        while True:
            self._ready.put(batch)

    def __next__(self) -> Batch:
        began = time.perf_counter()
        batch = self._ready.get()
        return replace(batch, wait_seconds=time.perf_counter() - began)


def consume(address: str, seconds: float, pace: float, start: int, still: bool) -> dict[str, Any]:
    """Batches for so long; with a pace, each step lasts as long as its tokens take at it."""
    from pretrain_trainer.data.batches import GlobalBatches, unmade
    from pretrain_trainer.data.order import Mixture, MixtureSource
    from pretrain_trainer.data.reader import SampleReader

    began, before = time.perf_counter(), psutil.Process().memory_info().rss
    storage = Storage("s3://bench", address)
    manifest = Manifest.model_validate(storage.read_json("web/manifest.json"))
    held = psutil.Process().memory_info().rss - before
    mixture = Mixture([MixtureSource(manifest.train.samples, 1.0, None, manifest.samples_per_record)], 1)
    reader = SampleReader(storage, [("web", manifest)])
    waits, tokens = list[float](), 0
    with GlobalBatches(reader, mixture, BATCH, 0, 1, start, unmade) as batches:
        steps = iter(batches)
        next(steps)
        first_batch = time.perf_counter() - began
        for _ in range(_WARM if seconds > 1 else 0):
            batch = next(steps)
        if still:
            batches.close()
            steps = Still(batch)
        first, cpu = time.perf_counter(), time.process_time()
        due = first
        while (now := time.perf_counter()) - first < seconds:
            batch = next(steps)
            waits.append(batch.wait_seconds)
            tokens += batch.samples.tokens.size
            if pace:
                due = max(due, now) + batch.samples.tokens.size / pace
                time.sleep(max(0.0, due - time.perf_counter()))
        used, cpu = time.perf_counter() - first, time.process_time() - cpu
    counts = reader.counts
    assert counts is not None
    return {
        "firstBatchSeconds": first_batch,
        "manifestMegabytes": held / 1e6,
        "millionTokensPerSecond": tokens / used / 1e6,
        "cpuSeconds": cpu,
        "waits": [round(wait, 7) for wait in waits],
        "longestWaitSeconds": max(waits, default=0.0),
        "steps": len(waits),
        "requests": counts.requests,
        "hedges": counts.hedges,
        "faults": counts.faults,
        "readP99Seconds": counts.reads.quantile(0.99),
    }


def turn(
    server: S3Server, address: str, seconds: float, pace: float = 0.0, start: int = 0, still: bool = False
) -> dict[str, Any]:
    """`consume` in a process of its own."""
    command = [sys.executable, __file__, "--consume", address, *map(str, (seconds, pace, start, int(still)))]
    own = {**os.environ, **server.environment, "AWS_ENDPOINT_URL": address, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextlib.contextmanager
def proxy(upstream: str, kind: str) -> Iterator[str]:
    """A proxy in a process of its own; its address."""
    command = [sys.executable, __file__, "--proxy", upstream, kind]
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **quiet) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()


def many_shards(bucket: Path, manifest: Manifest) -> None:
    """A billion samples in 20,000 shards: one shard under as many names, since only its manifest has to be true."""
    one = manifest.train.shards[0]
    web = bucket / "web"
    web.mkdir(parents=True)
    source = bucket.parent / "bench" / "web"
    for number in range(SHARDS):
        for ending in ("tar", "idx"):
            os.link(source / f"000000.{ending}", web / f"{number:06d}.{ending}")
    named = [one.model_copy(update={"name": f"{number:06d}.tar"}) for number in range(SHARDS)]
    train = manifest.train.model_copy(update={"shards": named, "samples": one.samples * SHARDS})
    assert abs(train.samples - SAMPLES) < SAMPLES // 10, (
        f"{SAMPLES // SHARDS} samples to a shard would make a billion, not {one.samples}"
    )
    content = manifest.model_copy(update={"train": train}).model_dump_json()
    (web / "manifest.json").write_text(content)


def main() -> None:
    """Take the turns, print and write the figures."""
    if sys.argv[1:2] == ["--consume"]:
        address, *numbers = sys.argv[2:]
        seconds, pace, start, still = (float(number) for number in numbers)
        print(json.dumps(consume(address, seconds, pace, int(start), bool(still))))
        return
    if sys.argv[1:2] == ["--proxy"]:
        with s3_proxy(sys.argv[2], (ROUGH if sys.argv[3] == "rough" else Weather()).script()) as running:
            print(running.url, flush=True)
            sys.stdin.read()
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=512, help="of tokens; 256 or more")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each turn")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    turns: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("fast", "paced", "still", "calm", "rough", "resume")
    }
    with s3_server() as server:
        server.make_bucket("bench")
        # Shards of 50,000 samples, so that 20,000 of them hold a billion.
        manifest = corpus.write_shards(server.buckets / "bench", options.mebibytes, shard_mebibytes=196)
        with proxy(server.url, "calm") as calm, proxy(server.url, "rough") as rough:
            for number in range(options.rounds):
                start = number * 10_000 * BATCH
                for name, address, pace in (
                    ("fast", server.url, 0.0), ("paced", server.url, PACE), ("still", server.url, PACE),
                    ("calm", calm, PACE), ("rough", rough, PACE),
                ):  # fmt: skip
                    turns[name].append(turn(server, address, options.seconds, pace, start, name == "still"))
                    print(name, {k: v for k, v in turns[name][-1].items() if k != "waits"}, flush=True)
        many_shards(server.buckets / "many", manifest)
        (server.buckets / "bench").rename(server.buckets / "few")
        (server.buckets / "many").rename(server.buckets / "bench")
        for number in range(options.rounds):
            turns["resume"].append(turn(server, server.url, 1.0, PACE, SAMPLES // 2 + number * BATCH))
            print("resume", {k: v for k, v in turns["resume"][-1].items() if k != "waits"}, flush=True)

    def median(name: str, figure: str) -> float:
        return statistics.median(each[figure] for each in turns[name])

    def waits(name: str) -> dict[str, float]:
        """Of all rounds together: quantiles in parts of a step, and how many were longer than a hundredth of one."""
        every = sorted(wait * PACE / (BATCH * (corpus.LENGTH + 1)) for each in turns[name] for wait in each["waits"])
        quantiles = {f"p{q}": every[int(q / 100 * len(every))] for q in (50, 99, 99.9)}
        return {"steps": len(every), "longer": sum(wait > 0.01 for wait in every), **quantiles, "longest": every[-1]}

    first = WeightSegment(start=0, weights=(1.0,))
    figures = {
        "millionTokensPerSecond": median("fast", "millionTokensPerSecond"),
        "waitP999OfAStep": waits("paced")["p99.9"],
        "rateWithFaults": median("rough", "millionTokensPerSecond") / median("calm", "millionTokensPerSecond"),
        "resumeSeconds": median("resume", "firstBatchSeconds"),
        "manifestMegabytes": median("resume", "manifestMegabytes"),
        "positionBytes": len(json.dumps({"samples": SAMPLES // 2, "segments": [first.model_dump(mode="json")]})),
    }
    print("| what | measured | target |\n|---|---|---|")
    for name, target in TARGETS.items():
        print(f"| {name} | {figures[name]:.4g} | {target} |")
    print(
        "\n| waits for batches, in parts of a step | p50 | p99 | p99.9 | longest | over 0.01 |\n|---|---|---|---|---|---|"
    )
    for name in ("paced", "still"):
        of = waits(name)
        shown = " | ".join(f"{of[q]:.4f}" for q in ("p50", "p99", "p99.9", "longest"))
        print(f"| {name} | {shown} | {of['longer']} of {of['steps']} |")
    if options.output:
        result = {
            "subject": "one worker and an S3 server on one machine",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()},
            "settings": {k: v for k, v in vars(options).items() if k != "output"},
            "targets": {name: {"target": target, "measured": figures[name]} for name, target in TARGETS.items()},
            "waitsOfAStep": {name: waits(name) for name in ("paced", "still")},
            "turns": {
                name: [{k: v for k, v in each.items() if k != "waits"} for each in several]
                for name, several in turns.items()
            },
        }
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
