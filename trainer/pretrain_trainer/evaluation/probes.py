"""How well features tell labels apart: by their nearest neighbours and by a line between classes. Nothing here knows a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_NEIGHBOURS = 20
_TEMPERATURE = 0.07
"""As DINO weighs neighbours by their cosine (arXiv:2104.14294, section 4.1; Wu et al. 2018, arXiv:1805.01978)."""
_STRENGTHS = tuple(10.0**power for power in range(-2, 6))
"""Of the ridge, of which leaving out one sample at a time chooses one (Golub, Heath and Wahba 1979)."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Labelled:
    """Features float32 [n, d] and what each of their images shows."""

    features: Floats
    labels: Sequence[str]


def accuracies(training: Labelled, held_out: Labelled) -> dict[str, float]:
    """`knnAccuracy` and `linearAccuracy` on what is held out, of classifiers that saw the labels of training."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def near(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.exp(-distances / _TEMPERATURE)

    neighbours = KNeighborsClassifier(min(_NEIGHBOURS, len(training.labels)), weights=near, metric="cosine")
    linear = make_pipeline(StandardScaler(), RidgeClassifierCV(_STRENGTHS))
    found = {}
    for name, classifier in (("knnAccuracy", neighbours), ("linearAccuracy", linear)):
        classifier.fit(training.features, training.labels)
        found[name] = float(np.mean(classifier.predict(held_out.features) == np.asarray(held_out.labels)))
    return found


def most_frequent(training: Labelled, held_out: Labelled) -> float:
    """Accuracy of who always says the label that training has most often."""
    ((label, _),) = Counter(training.labels).most_common(1)
    return sum(one == label for one in held_out.labels) / len(held_out.labels)
