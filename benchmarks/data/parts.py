"""What the CPU time of a batch of shuffled sequences goes into, beside the same sequences from a memory-mapped array: why a batch
costs more than the rows of an array. Shards in page cache, one thread, no queue.

    .venv/bin/python benchmarks/data/parts.py --output benchmarks/data/results/parts.json
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import contenders
import corpus
import numpy as np

from pretrain_api.storage import Storage
from pretrain_trainer.data import batches, reader, upcoming
from pretrain_trainer.data.order import Mixture, MixtureSource

PARTS: dict[str, tuple[Any, str]] = {
    "order: which samples are next": (upcoming.Upcoming, "piece"),
    "document ids": (reader, "document_ids"),
    "which tokens count": (reader, "_validity"),
    "digests for the ledger": (batches, "sample_digests"),
    "sums of digests": (batches, "block_sums"),
    "reading, with ids and what counts": (reader.SampleReader, "read"),
}
ROUND_BATCHES = 500


def timed(function: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    """The function, whose CPU time is counted."""

    def call(*arguments: Any, **options: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += time.thread_time() - began

    return call


def microseconds(items: Iterator[Any]) -> float:
    """Of CPU time for a batch."""
    began = time.thread_time()
    for _ in range(ROUND_BATCHES):
        next(items)
    return (time.thread_time() - began) / ROUND_BATCHES * 1e6


def main() -> None:
    """Take the rounds, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=128, help="of tokens")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    np.ones(4_000_000)  # as in training, where the allocator keeps what it is given back
    spent, rounds = defaultdict[str, float](float), defaultdict[str, list[float]](list)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        manifest = corpus.write_shards(root, options.mebibytes)
        for name, (owner, attribute) in PARTS.items():
            counted = timed(getattr(owner, attribute), spent, name)
            stack.enter_context(mock.patch.object(owner, attribute, counted))
        mixture = Mixture([MixtureSource(manifest.train.samples, 1.0, None, manifest.samples_per_record)], 1)
        samples = reader.SampleReader(Storage(str(root)), [("web", manifest)])
        ours = batches.GlobalBatches(samples, mixture, contenders.BATCH, 0, 1, 0, batches.unmade)._items()
        array = contenders.memory_map(root)
        for items in (ours, array):
            microseconds(items)  # every page is in memory, and every checksum was compared
        for _ in range(options.rounds):
            spent.clear()
            rounds["a batch, all in all"].append(microseconds(ours))
            for name, seconds in spent.items():
                rounds[name].append(seconds / ROUND_BATCHES * 1e6)
            rounds["rows of a memory-mapped array"].append(microseconds(array))
    tokens = contenders.BATCH * contenders.WIDTH
    figures = {name: statistics.median(values) for name, values in rounds.items()}
    inside = figures["document ids"] + figures["which tokens count"]
    figures["reading alone: places, blocks, copies"] = figures["reading, with ids and what counts"] - inside
    print(f"| of a batch of {contenders.BATCH} sequences | us | ns a token |\n|---|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value:.0f} | {value * 1e3 / tokens:.2f} |")
    if options.output:
        result = {
            "subject": "CPU time of the parts of a batch, local shards in page cache",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()},
            "settings": {"mebibytes": options.mebibytes, "rounds": options.rounds, "batch": contenders.BATCH},
            "versions": {"python": platform.python_version(), "numpy": np.__version__},
            "microseconds": figures,
            "rounds": rounds,
        }
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
