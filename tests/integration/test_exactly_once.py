"""What training commits, over crashes, worlds, weights and epochs that are drawn at random, is the order: each sample once.

20,000 runs (PRETRAIN_TEST_SEED replays them): crashes at any step, 1 to 64 ranks, 1 to 4 sources with shards of uneven
size, epochs with and without a limit, edits of weights before a start. Every committed step has the samples that the
ranks' slices of its batch read at the time; what they should have been follows at the end from the newest commit alone,
and for every 200th run from the second implementation of the specification.
"""

import os
import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from support import specified_order as specified

from pretrain_api.commits import WeightSegment
from pretrain_trainer.data import order
from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.mixture import segments_from
from pretrain_trainer.data.order import Mixture, MixtureSource, Segment

SEED = int(os.environ.get("PRETRAIN_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
RUNS, TOGETHER = 20_000, 250
"""Runs in all, and those that share a seed so that their samples are looked up in one call."""
CHECKED_BY_THE_SPECIFICATION = 200
WEIGHTS = (0.5, 1.0, 1.5, 3.0)


@dataclass
class Run:
    """A run as storage knows it: what the newest commit holds, and what the steps that led there read."""

    sources: tuple[MixtureSource, ...]
    seed: int
    batch: int
    position: int = 0
    segments: tuple[WeightSegment, ...] = ()
    read: list[np.ndarray] = field(default_factory=list)
    """Of each start: [2, samples], source and k as its ranks read them, up to its last commit."""

    def divided(self, segments: tuple[WeightSegment, ...], g: np.ndarray) -> np.ndarray:
        first, *later = segments
        sources = [
            MixtureSource(s.samples, weight, s.max_epochs, s.samples_per_record)
            for s, weight in zip(self.sources, first.weights, strict=True)
        ]
        mixture = Mixture(sources, self.seed, tuple(Segment(s.start, s.weights) for s in later))
        return np.stack(order._divide(mixture.phases, g))

    def start(self, rng: random.Random) -> None:
        """One start: maybe other weights, some number of ranks, some steps, a crash."""
        weights = self.segments[-1].weights if self.segments else ()
        if not weights or rng.random() < 0.4:
            weights = tuple(rng.choice(WEIGHTS) for _ in self.sources)
        segments, world = segments_from(self.segments, weights, self.position), rng.randint(1, 64)
        ends = [None if s.max_epochs is None else s.samples * s.max_epochs for s in self.sources]
        most = 6 if None in ends else min(6, (sum(filter(None, ends)) - self.position) // self.batch)
        steps = rng.randint(0, most)
        committed = rng.randint(0, steps)  # the steps after the last commit are lost
        slices = [rank_slice(self.batch, rank, world) for rank in range(world)]
        offsets = np.concatenate([np.arange(s.start, s.stop) for s in slices])
        g = self.position + np.arange(steps)[:, None] * self.batch + offsets
        read = self.divided(segments, g.reshape(-1))
        if committed:
            self.read.append(read[:, : committed * self.batch])
            self.position += committed * self.batch
            self.segments = segments


def drawn(rng: random.Random, seed: int) -> Run:
    sources = tuple(
        MixtureSource(
            rng.randint(1, 60) * (20 if rng.random() < 0.1 else 1),
            1.0,
            None if rng.random() < 0.5 else rng.randint(1, 3),
            rng.randint(1, 6),
        )
        for _ in range(rng.randint(1, 4))
    )
    return Run(sources, seed, rng.randint(1, 70))


def check(runs: list[Run]) -> np.ndarray:
    """Returns [3, samples]: source, epoch and index of all samples of all runs, one run after the other."""
    read = np.concatenate([part for run in runs for part in run.read], axis=1)
    due = np.concatenate([run.divided(run.segments, np.arange(run.position)) for run in runs], axis=1)
    assert np.array_equal(read, due)
    source, k = read
    number = np.repeat(np.arange(len(runs)), [run.position for run in runs])
    parts = np.zeros((3, len(runs), 4), dtype=np.int64)
    for row, run in enumerate(runs):
        parts[:, row, : len(run.sources)] = np.array(
            [(s.samples, s.samples_per_record, s.max_epochs or 1 << 40) for s in run.sources]
        ).T
    samples, per_record, most = parts[:, number, source]
    epoch, r = np.divmod(k, samples)
    index = order._shuffle(runs[0].seed, source, epoch, r, samples, per_record)
    # k counts 0, 1, 2 ... of each source; so if no place of an epoch comes twice, an epoch that is over is complete.
    of_source = number * 4 + source
    by_source = np.lexsort((k, of_source))
    first = np.searchsorted(of_source[by_source], of_source[by_source])
    assert np.array_equal(k[by_source], np.arange(len(k)) - first)
    assert (index >= 0).all()
    assert (index < samples).all()
    assert (epoch < most).all()
    # By shard, record and slot, of shards with 1, 2, 3 ... records.
    record, slot = np.divmod(index, per_record)
    ends = np.cumsum(np.arange(1, 50))
    shard = np.searchsorted(ends, record, side="right")
    inside = record - np.concatenate([[0], ends])[shard]
    places = np.stack([of_source, epoch, shard, inside, slot])
    assert np.unique(places, axis=1).shape == places.shape
    return np.stack([source, epoch, index])


@pytest.mark.parametrize("part", [0, 1])
def test_the_committed_samples_are_the_order(part: int) -> None:
    print(f"PRETRAIN_TEST_SEED={SEED}")
    rng = random.Random(SEED * 2 + part)
    committed = 0
    for _ in range(RUNS // 2 // TOGETHER):
        seed = rng.randrange(1 << 53)
        runs = [drawn(rng, seed) for _ in range(TOGETHER)]
        for run in runs:
            for _ in range(rng.randint(1, 4)):
                run.start(rng)
        runs = [run for run in runs if run.position]
        located = check(runs)
        committed += len(runs)
        for row, run in enumerate(runs):
            if row % CHECKED_BY_THE_SPECIFICATION == 0:
                sources = tuple(specified.Source(s.samples, s.samples_per_record, s.max_epochs) for s in run.sources)
                other = specified.Order(run.seed, sources, tuple((s.start, s.weights) for s in run.segments))
                begin = sum(each.position for each in runs[:row])
                own = located[:, begin : begin + run.position]
                assert [other.locate(g) for g in range(run.position)] == list(map(tuple, own.T.tolist()))
    assert committed > 0.6 * RUNS / 2  # the others crashed before their first commit
