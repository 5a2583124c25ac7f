"""How well images find their captions among others, and captions their images, by their features. Nothing here knows a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DIRECTIONS = ("imageToText", "textToImage")
DEPTHS = (1, 5)
"""Among so many of the nearest the right one must be."""
_CHUNK = 1024
"""Questions that are compared with all answers at once."""

Floats = npt.NDArray[np.float32]


def recalls(images: Floats, captions: Floats, texts: Sequence[str]) -> dict[str, float]:
    """`imageToTextRecall1` and so on of pairs, whose features are float32 [n, width] of length 1.

    Pairs of the same text are neither right nor wrong for each other, and whoever is as near as the right one counts as
    nearer, so that features that are all the same find nothing.
    """
    groups = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)[1]
    found = {}
    for what, asking, answers in zip(DIRECTIONS, (images, captions), (captions, images), strict=True):
        nearer = _nearer(asking, answers, groups)
        found.update({f"{what}Recall{depth}": float(np.mean(nearer < depth)) for depth in DEPTHS})
    return found


def chances(texts: Sequence[str]) -> dict[str, float]:
    """`imageToTextRecall1` and so on of who answers at random."""
    _, groups, sizes = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True, return_counts=True)
    asked = 1 + len(texts) - sizes[groups]
    expected = {depth: float(np.mean(np.minimum(1.0, depth / asked))) for depth in DEPTHS}
    return {f"{what}Recall{depth}": value for what in DIRECTIONS for depth, value in expected.items()}


def _nearer(asking: Floats, answers: Floats, groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64 [n]: how many answers of other texts are at least as near as the right one."""
    counts = []
    for start in range(0, len(asking), _CHUNK):
        rows = slice(start, start + _CHUNK)
        cosines = asking[rows] @ answers.T
        right = cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))]
        others = groups[None] != groups[rows, None]
        counts.append(((cosines >= right[:, None]) & others).sum(axis=1))
    return np.concatenate(counts)
