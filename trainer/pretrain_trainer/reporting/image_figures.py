"""The evaluation of a model of images, figure by figure, beside who has learnt nothing. Says what, and draws one plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pretrain_trainer.reporting.plots import PALETTE, Plot, bar
from pretrain_trainer.reporting.types import SourceEvaluation

_FIGURES = (
    ("knn_accuracy", "k-NN accuracy"),
    ("linear_accuracy", "linear accuracy"),
    ("image_to_text_recall1", "image to text, recall@1"),
    ("image_to_text_recall5", "image to text, recall@5"),
    ("text_to_image_recall1", "text to image, recall@1"),
    ("text_to_image_recall5", "text to image, recall@5"),
    ("zero_shot_accuracy", "zero-shot accuracy"),
)
"""Shares of the held-out images, more of which is better: field of SourceEvaluation, and what it is called."""
_OTHERS = {"random": "random weights", "pixels": "raw pixels", "chance": "chance"}
"""How the fields of BaselinesReport begin that stand beside such a figure, and who that is."""
_SHADES = ("#5f6b7a", "#8d97a5", "#b4bcc6")


@dataclass(frozen=True)
class Compared:
    """A figure of a source."""

    source: str
    figure: str
    model: float
    others: Sequence[float | None]
    """In the order of `headings`; None where that one has no such figure."""

    @property
    def best(self) -> float:
        return max(value for value in (self.model, *self.others) if value is not None)


@dataclass(frozen=True)
class Comparison:
    """All figures, with the names of those beside the model."""

    headings: Sequence[str]
    rows: Sequence[Compared]


def compared(evaluation: Mapping[str, SourceEvaluation]) -> Comparison:
    """The figures that were measured, and those baselines that have any of them."""
    measured = [
        (source, each, field, title)
        for source, each in evaluation.items()
        for field, title in _FIGURES
        if getattr(each, field) is not None
    ]
    prefixes = [
        prefix
        for prefix in _OTHERS
        if any(getattr(each.baselines, f"{prefix}_{field}", None) is not None for _, each, field, _ in measured)
    ]
    rows = [
        Compared(
            source,
            title,
            getattr(each, field),
            [getattr(each.baselines, f"{prefix}_{field}", None) for prefix in prefixes],
        )
        for source, each, field, title in measured
    ]
    return Comparison([_OTHERS[prefix] for prefix in prefixes], rows)


def plot(comparison: Comparison) -> list[Plot]:
    """Bars of the model and of the others, figure by figure; none where no image has a label."""
    if not comparison.rows:
        return []
    several = len({row.source for row in comparison.rows}) > 1
    names = [f"{row.source}, {row.figure}" if several else row.figure for row in comparison.rows]
    series = [("this model", PALETTE[0], [row.model for row in comparison.rows])]
    for place, heading in enumerate(comparison.headings):
        series.append((heading, _SHADES[place], [row.others[place] or 0.0 for row in comparison.rows]))
    traces = [
        bar(
            names,
            [100 * value for value in values],
            name,
            shade,
            text=[f"{100 * value:.1f}" for value in values],
            textposition="outside",
            cliponaxis=False,
        )
        for name, shade, values in series
    ]
    layout = {
        "barmode": "group",
        "xaxis": {"showgrid": False},
        "yaxis": {"title": {"text": "% of the held-out images"}, "rangemode": "tozero"},
    }
    return [Plot("evaluation", "What the features tell", "More is better.", traces, layout)]
