"""What the frequencies of tokens alone know: the least that a model which predicts tokens has to beat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def counted(tokens: Iterable[npt.NDArray[np.integer]], vocab_size: int) -> npt.NDArray[np.int64]:
    """How often each token comes, int64 [vocab_size]."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for some in tokens:
        counts += np.bincount(some, minlength=vocab_size)
    return counts


def figures(training: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> dict[str, float]:
    """Loss (nats) and accuracy on targets counted as `targets`, int64 [vocab_size], of who knows the counts in training,
    one added to each (Laplace)."""
    log = np.log((training + 1) / (training.sum() + len(training)))
    total = max(1, int(targets.sum()))
    best = int(training.argmax())
    return {"unigramLoss": float(-(targets * log).sum() / total), "unigramAccuracy": float(targets[best] / total)}
