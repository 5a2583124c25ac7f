"""How well the data order shuffles, beside a full permutation and webdataset's shuffle buffer; with plots.

    .venv/bin/python benchmarks/data/shuffle.py --no-plots
    .venv/bin/uv pip install --target /tmp/plots matplotlib && PYTHONPATH=/tmp/plots .venv/bin/python benchmarks/data/shuffle.py

Needs no data: what is measured is where samples stand. webdataset's buffer is that of `webdataset.filters._shuffle` (the
pipeline stage behind `.shuffle(size)`), on shards in a random order, as its users run it.
"""

import argparse
import json
import platform
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pretrain_trainer.data.order import Mixture, MixtureSource, locate
from pretrain_trainer.data.proportions import integer_shares

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parents[1] / "docs/images"
PER_RECORD, RECORDS, RECORDS_PER_SHARD = 128, 2048, 128
"""A source of 1 GiB of tokens: records of 512 KiB with 128 samples of 2,048 tokens, shards of 64 MiB."""
SAMPLES = PER_RECORD * RECORDS
BUFFER = 1000
"""webdataset's default size of the shuffle buffer, in samples."""


def ours(epoch: int) -> np.ndarray:
    mixture = Mixture([MixtureSource(SAMPLES, 1.0, None, PER_RECORD)], 42)
    return locate(mixture, np.arange(epoch * SAMPLES, (epoch + 1) * SAMPLES))[2]


def full(epoch: int) -> np.ndarray:
    return np.random.default_rng([42, epoch]).permutation(SAMPLES)


def webdataset_buffer(epoch: int) -> np.ndarray:
    """Shards in a random order, then webdataset's buffer: a random entry leaves, the newest takes its place."""
    from webdataset.filters import _shuffle

    rng = random.Random(epoch)
    shards = list(range(RECORDS // RECORDS_PER_SHARD))
    rng.shuffle(shards)
    size = PER_RECORD * RECORDS_PER_SHARD

    def samples() -> Iterator[int]:
        for shard in shards:
            yield from range(shard * size, (shard + 1) * size)

    return np.fromiter(_shuffle(samples(), bufsize=BUFFER, initial=BUFFER, rng=rng), dtype=np.int64)


ORDERS: dict[str, Callable[[int], np.ndarray]] = {
    "this order": ours,
    "full permutation": full,
    f"webdataset, buffer {BUFFER}": webdataset_buffer,
}


def measured(order: Callable[[int], np.ndarray]) -> dict[str, float]:
    """`positionCorrelation`: of place and index. `neighbourCorrelation`: of the indices of neighbours. `sameRecord`: share of
    neighbours from one record. `recordsPerBatch`: different records in 512 samples in a row. `epochCorrelation`: of a sample's
    places in two epochs. `halfImbalance`: of batches of 512, root mean square of the share of the source's first half,
    less 1/2, times what an independent draw would give."""
    first, second = order(0), order(1)
    assert len(np.unique(first)) == SAMPLES
    place = np.argsort(first)
    batches = first[: SAMPLES // 512 * 512].reshape(-1, 512)
    half = (batches < SAMPLES // 2).mean(axis=1) - 0.5
    record = batches // PER_RECORD
    return {
        "positionCorrelation": float(np.corrcoef(np.arange(SAMPLES), first)[0, 1]),
        "neighbourCorrelation": float(np.corrcoef(first[:-1], first[1:])[0, 1]),
        "sameRecord": float((first[:-1] // PER_RECORD == first[1:] // PER_RECORD).mean()),
        "recordsPerBatch": float(np.mean([len(np.unique(row)) for row in record])),
        "epochCorrelation": float(np.corrcoef(place, np.argsort(second))[0, 1]),
        "halfImbalance": float(np.sqrt((half**2).mean()) / np.sqrt(0.25 / 512)),
    }


def over_seeds(seeds: int = 40) -> dict[str, float]:
    """Mean and standard deviation of this order's `positionCorrelation` over seeds."""
    mixtures = [Mixture([MixtureSource(SAMPLES, 1.0, None, PER_RECORD)], seed) for seed in range(seeds)]
    place = np.arange(SAMPLES)
    found = [np.corrcoef(place, locate(mixture, place)[2])[0, 1] for mixture in mixtures]
    return {"seeds": seeds, "mean": float(np.mean(found)), "standardDeviation": float(np.std(found))}


MIXTURES = {"0.7 : 0.3": (0.7, 0.3), "5 : 3 : 1 : 1": (5.0, 3.0, 1.0, 1.0), "90 : 7 : 2 : 1": (90.0, 7.0, 2.0, 1.0)}


def mixture_errors(weights: tuple[float, ...], samples: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Samples that a source is ahead or behind of its share, the most over sources, after each position: with this order,
    and with a source drawn for each sample, as weighted samplers do. [samples] each."""
    share = np.array(integer_shares(weights)) / sum(integer_shares(weights))
    mixture = Mixture([MixtureSource(10**9, w, None) for w in weights], 1)
    source = locate(mixture, np.arange(samples))[0]
    drawn = np.random.default_rng(0).choice(len(weights), samples, p=share)
    due = np.arange(1, samples + 1)[:, None] * share
    errors = [
        np.abs(np.cumsum(s[:, None] == np.arange(len(weights)), axis=0) - due).max(axis=1) for s in (source, drawn)
    ]
    return errors[0], errors[1]


def plot() -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update({"svg.hashsalt": "shuffle", "font.size": 9})
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True)
    for axis, (name, order) in zip(axes, ORDERS.items(), strict=True):
        places = np.linspace(0, SAMPLES - 1, 4000).astype(np.int64)
        axis.plot(places / SAMPLES, order(0)[places] / SAMPLES, ",", color="#1f5fa8")
        axis.set_title(name)
        axis.set_xlabel("place in the epoch")
    axes[0].set_ylabel("place in the shards")
    figure.tight_layout()
    figure.savefig(IMAGES / "shuffle-places.png", dpi=110, metadata={"Software": None})
    figure, axis = plt.subplots(figsize=(6, 3.2))
    for name, weights in MIXTURES.items():
        exact, drawn = mixture_errors(weights)
        axis.plot(np.maximum.accumulate(drawn), "--", label=f"{name}, drawn for each sample")
        axis.plot(np.maximum.accumulate(exact), label=f"{name}, this order")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.axhline(1, color="black", linewidth=0.5)
    axis.set_xlabel("samples")
    axis.set_ylabel("greatest error so far, samples")
    axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(IMAGES / "shuffle-mixture.png", dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-plots", action="store_true")
    options = parser.parse_args()
    results = {name: measured(order) for name, order in ORDERS.items()}
    errors = {
        name: {"thisOrder": float(exact.max()), "drawn": float(drawn.max())}
        for name, (exact, drawn) in ((name, mixture_errors(w)) for name, w in MIXTURES.items())
    }
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "samples": SAMPLES,
        "samplesPerRecord": PER_RECORD,
        "recordsPerShard": RECORDS_PER_SHARD,
        "orders": results,
        "positionCorrelationOverSeeds": over_seeds(),
        "mixtureError": errors,
    }
    (HERE / "results/shuffle.json").write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    if not options.no_plots:
        plot()


if __name__ == "__main__":
    main()
