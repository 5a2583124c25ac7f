"""Fewer points for a plot, without losing what the eye looks for: the extremes. No drawing here."""

import numpy as np
import numpy.typing as npt


def thin(values: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """Places of at most `most` (>= 4) values to draw, in order: of each bucket the least, the greatest and no other.

    The first and the last value always stay. NaN stands for "no value" and is left out. Min-max decimation, as in
    visualisation-oriented aggregation (Jugel et al. 2014, doi:10.14778/2732951.2732953).
    """
    places = np.flatnonzero(~np.isnan(values))
    if len(places) <= most:
        return places
    buckets = np.array_split(places[1:-1], (most - 2) // 2)
    kept = {int(places[0]), int(places[-1])}
    for bucket in buckets:
        kept.add(int(bucket[np.argmin(values[bucket])]))
        kept.add(int(bucket[np.argmax(values[bucket])]))
    return np.array(sorted(kept), dtype=np.int64)
