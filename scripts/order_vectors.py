"""Examples of the data order for docs/reference/data-order.md, computed by the program; scripts/generate.py writes them."""

import json
from typing import Any

import numpy as np

from pretrain_trainer.data.digests import sample_digests
from pretrain_trainer.data.order import Mixture, MixtureSource, Segment, locate
from pretrain_trainer.data.permutation import derive_keys, mix, permute
from pretrain_trainer.data.proportions import integer_shares, pattern
from pretrain_trainer.data.samples import Samples

WEIGHTS = [
    (0.7, 0.3), (1.0,), (2.5, 2.5, 5.0), (0.1, 0.2, 0.30000000000000004), (1e9, 1e-9, 3.0), (1 / 3, 2 / 3),
    (65535.0, 1.0), (65536.0, 1.0), (1e-3, 1e-3, 1e-3, 1e6), (1e6, 1e6, 1e-3, 1e-3, 1e-3),
]  # fmt: skip
SHARES = [(7, 3), (1,), (1, 1, 2), (0, 3, 2), (5, 0, 1, 3)]
WORDS = [0, 1, 42, (1 << 63) - 1, (1 << 64) - 1]
PERMUTED = [(1, 5), (2, 5), (3, 9), (64, 7), (65, 7), (1000, 1 << 63), ((1 << 33) + 1, 11), (1 << 40, 12)]
"""Sizes and keys."""
MIXTURES = [
    Mixture([MixtureSource(20, 0.7, None, 3), MixtureSource(5, 0.3, None, 2)], 42),
    Mixture([MixtureSource(1, 1.0, None)], 0),
    Mixture([MixtureSource(700, 1.0, None, 4)], (1 << 53) - 1),
    Mixture([MixtureSource(10, 0.5, 1), MixtureSource(33, 0.3, 2, 4), MixtureSource(50, 0.2, None, 7)], 7),
    Mixture(
        [MixtureSource(40, 2.0, 2, 6), MixtureSource(17, 1.0, None, 5)],
        123456789,
        (Segment(30, (1.0, 3.0)), Segment(31, (1.0, 1.0)), Segment(200, (9.0, 0.5))),
    ),
    Mixture([MixtureSource(10**9, 1.0, None, 128), MixtureSource(10**7, 0.01, None, 128)], 5),
]
FAR = [10**6, 10**9, 10**12 + 7, 10**15]


def vectors() -> str:
    """The text of docs/reference/data-order-vectors.json."""
    parts = {
        "version": 1,
        "shares": [{"weights": list(w), "shares": list(integer_shares(w))} for w in WEIGHTS],
        "pattern": [_pattern(shares) for shares in SHARES],
        "mix": [[_hex(word), _hex(int(mix(np.array([word], dtype=np.uint64))[0]))] for word in WORDS],
        "key": [
            {"seed": seed, "arguments": list(parts), "key": _hex(int(derive_keys(seed, *parts)[0]))}
            for seed in (0, 42, (1 << 53) - 1)
            for parts in ((1, 0, 0), (2, 3, 5, 7), (3, 255, 1_000_000))
        ],
        "permute": [_permuted(size, key) for size, key in PERMUTED],
        "samples": [_located(mixture) for mixture in MIXTURES],
        "digest": [_digest(seed) for seed in (0, 5, 10**12)],
    }
    lines = [f'"{name}": {json.dumps(value, separators=(",", ":"))}' for name, value in parts.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _hex(word: int) -> str:
    return f"{word:016x}"


def _pattern(shares: tuple[int, ...]) -> dict[str, Any]:
    made = pattern(shares)
    return {"shares": list(shares), "source": made.source.tolist(), "rank": made.rank.tolist()}


def _permuted(size: int, key: int) -> dict[str, Any]:
    values = np.unique(np.linspace(0, size - 1, num=min(size, 70)).astype(np.int64))
    sizes, keys = np.full(len(values), size), np.full(len(values), key, dtype=np.uint64)
    found = permute(values, sizes, keys)
    return {"size": size, "key": _hex(key), "values": values.tolist(), "permuted": found.tolist()}


def _located(mixture: Mixture) -> dict[str, Any]:
    count = 300 if mixture.total is None else mixture.total
    g = np.array([*range(count), *([] if mixture.total is not None else FAR)], dtype=np.int64)
    segments = [{"start": 0, "weights": [s.weight for s in mixture.sources]}]
    segments += [{"start": s.start, "weights": list(s.weights)} for s in mixture.later]
    return {
        "seed": mixture.seed,
        "sources": [
            {"samples": s.samples, "samplesPerRecord": s.samples_per_record, "maxEpochs": s.max_epochs}
            for s in mixture.sources
        ],
        "segments": segments,
        "g": g.tolist(),
        "sourceEpochIndex": [list(row) for row in zip(*(each.tolist() for each in locate(mixture, g)), strict=True)],
    }


def _digest(g: int) -> dict[str, Any]:
    tokens, ids = [[5, 0, 65535, 70000, 2]], [[0, 0, 1, 2, 2]]
    samples = Samples(
        np.array(tokens),
        np.array(ids, dtype=np.int32),
        np.array([[True, True, True, True, False]]),
        np.zeros(1, dtype=np.bool_),
    )
    found = sample_digests(samples, np.array([g]))
    return {"tokens": tokens[0], "documentIds": ids[0], "valid": [1, 1, 1, 1, 0], "g": g, "digest": _hex(int(found[0]))}
