"""A chaos run as a picture: steps over time, and what was broken when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.chaos.place import Seen


@dataclass(frozen=True)
class Happened:
    """An event of the run. Times are seconds since it began."""

    name: str
    began: float
    mended: float
    went_on: float
    """When the first step that was made behind it was committed."""


def draw(path: Path, happened: Sequence[Happened], seen: Sequence[Seen], title: str) -> None:
    """Write the picture; its format follows from the name."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update({"svg.hashsalt": "chaos", "font.size": 8})
    figure, (steps, events) = plt.subplots(
        2, 1, figsize=(11, 4 + 0.22 * len(happened)), sharex=True,
        gridspec_kw={"height_ratios": [3, max(1.0, 0.22 * len(happened))]},
    )  # fmt: skip
    steps.step([s.seconds for s in seen], [s.step for s in seen], where="post", color="#1f5fa8")
    steps.set_ylabel("committed steps")
    steps.set_title(title)
    for row, event in enumerate(happened):
        steps.axvline(event.began, color="#d9485f", linewidth=0.5)
        events.barh(row, max(event.mended - event.began, 0.4), left=event.began, color="#d9485f")
        events.barh(row, max(event.went_on - event.mended, 0.0), left=event.mended, color="#e0b01b")
        label = f"{event.name}, {event.went_on - event.began:.1f} s"
        events.text(max(event.mended, event.went_on) + 1, row, label, va="center")
    events.set_xlim(0, 1.25 * max((max(event.mended, event.went_on) for event in happened), default=1.0))
    events.set_yticks([])
    events.invert_yaxis()
    events.set_xlabel("seconds; red: broken, yellow: until a later step was committed")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    plt.close(figure)
