"""Plotly figures of the report, as plain JSON values. Colours come from the page: a trace names a place in its palette."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pretrain_trainer.reporting.columns import Column, StepColumns
from pretrain_trainer.reporting.funnel import SourceFunnel
from pretrain_trainer.reporting.thinning import thin
from pretrain_trainer.reporting.types import Report, SourceEvaluation
from pretrain_trainer.reporting.units import TOKENS, Units

MOST_POINTS = 2000
"""Points of a line. More cannot be told apart on a screen, and each costs the page bytes."""
PALETTE = ("#3d7de0", "#e0791b", "#1f9d6b", "#d9485f", "#8b67e0", "#0f9fb3", "#a9762f", "#7d8794")
"""Colours that can be told apart on white and on near-black, also with the common colour deficiencies."""
_NEUTRAL = "#7d8794"
_SMOOTHING_SHARE = 0.02
"""Share of the run that the running mean of a noisy curve looks over."""


@dataclass(frozen=True)
class Plot:
    """A figure with what the reader should know before looking."""

    id: str
    title: str
    caption: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)

    def figure(self) -> dict[str, Any]:
        return {"id": self.id, "data": self.traces, "layout": self.layout}


def colour(place: int) -> str:
    return PALETTE[place % len(PALETTE)]


def training(columns: StepColumns, sources: Sequence[str], units: Units = TOKENS) -> list[Plot]:
    """Curves over the steps; empty for a run without steps."""
    if not len(columns):
        return []
    rate = f"{units.counted.capitalize()} per second, all ranks."
    return [
        _loss(columns, sources, units.loss),
        _curve(columns, "learningRate", "learning-rate", "Learning rate", "", "", smooth=False),
        _curve(
            columns, "gradientNorm", "gradient-norm", "Gradient norm", "Before clipping. Logarithmic.", "", log=True
        ),
        _curve(columns, units.rate, "throughput", "Throughput", rate, f"{units.counted}/s"),
        _data_wait(columns),
    ]


def funnel(funnels: Sequence[SourceFunnel], documents: str = "documents") -> list[Plot]:
    """What became of the documents, or images, of each source, in shares."""
    if not funnels:
        return []
    names = [f.source for f in funnels]
    fates: dict[str, list[int]] = {"kept": [f.kept_documents for f in funnels]}
    for rule in dict.fromkeys(rule for f in funnels for rule in f.removed):
        fates[rule] = [f.removed[rule].documents if rule in f.removed else 0 for f in funnels]
    totals = [max(f.documents_in, 1) for f in funnels]
    # "kept" has a colour of its own; the removing rules share the others.
    colours = {
        fate: PALETTE[2] if fate == "kept" else [c for c in PALETTE if c != PALETTE[2]][n % 7]
        for n, fate in enumerate(fates)
    }
    traces = [
        bar(
            [100 * count / total for count, total in zip(counts, totals, strict=True)],
            names,
            fate,
            colours[fate],
            horizontal=True,
            customdata=counts,
            hovertemplate=f"%{{y}}: %{{customdata:,}} {documents} (%{{x:.2f}} %)<extra>{fate}</extra>",
        )
        for fate, counts in fates.items()
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": f"% of the {documents} read"}, "range": [0, 100]},
        "yaxis": {"autorange": "reversed"},
        "height": 130 + 44 * len(names),
    }
    return [Plot("funnel", f"What became of the {documents}", "Kept, and removed by which rule.", traces, layout)]


def mixture(report: Report) -> list[Plot]:
    """Planned against seen shares."""
    names = list(report.sources)
    traces = [bar(names, [100 * s.planned_ratio for s in report.sources.values()], "planned", _NEUTRAL)]
    if report.training.samples:
        traces.append(bar(names, [100 * s.seen_ratio for s in report.sources.values()], "seen", PALETTE[0]))
    layout = {
        "barmode": "group",
        "xaxis": {"showgrid": False},
        "yaxis": {"title": {"text": "% of the samples"}, "rangemode": "tozero"},
        "height": 250,
    }
    return [Plot("mixture", "Mixture", "Weights of the job against what training drew.", traces, layout)]


def evaluation(by_source: Mapping[str, SourceEvaluation], predicted: str = "") -> list[Plot]:
    """The model beside the baselines, in bits per byte or as a share of the `predicted` tokens: masked tokens, say."""
    if not by_source or all(e.perplexity is None for e in by_source.values()):
        return []
    names = list(by_source)
    if any(e.accuracy is not None for e in by_source.values()):
        title, unit = "Accuracy", f"share of the {predicted}"
        text = f"{predicted.capitalize()} of held-out text; more is better."
        figures = {
            "this model": [e.accuracy or 0.0 for e in by_source.values()],
            "unigrams": [e.baselines.unigram_accuracy or 0.0 for e in by_source.values()],
        }
    else:
        title, text, unit = "Bits per byte", "Held-out text; less is better.", "bits per byte"
        if any(e.loss_without_prefix is not None for e in by_source.values()):
            text = "Held-out text, predicted without prefixes; less is better."
        figures = {
            "this model": [e.bits_per_byte or 0.0 for e in by_source.values()],
            "xz -9e": [e.baselines.xz or 0.0 for e in by_source.values()],
            "byte 5-gram": [e.baselines.byte5gram or 0.0 for e in by_source.values()],
            "gzip -9": [e.baselines.gzip or 0.0 for e in by_source.values()],
        }
    colours = [PALETTE[0], "#5f6b7a", "#8d97a5", "#b4bcc6"]
    traces = [
        bar(names, values, name, shade, text=[f"{v:.2f}" for v in values], textposition="outside", cliponaxis=False)
        for (name, values), shade in zip(figures.items(), colours[: len(figures)], strict=True)
    ]
    layout = {
        "barmode": "group",
        "xaxis": {"showgrid": False},
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
    }
    return [Plot("evaluation", title, text, traces, layout)]


def token_lengths(by_source: Mapping[str, Mapping[str, int]]) -> list[Plot]:
    """Shares of tokens by length: `by_source[name]["4"]` tokens stand for 4 characters, "16" for 16 and more."""
    caption = "Tokens of a sample by the characters that they stand for; the last group holds all that are longer."
    return _lengths("token-lengths", "Token lengths", caption, by_source, "characters", "tokens")


def document_lengths(by_source: Mapping[str, Mapping[str, int]]) -> list[Plot]:
    """Shares of documents by length: `by_source[name]["256"]` documents have 256 to 511 tokens."""
    caption = "Documents of the training split by their number of tokens; each group reaches to twice its label."
    return _lengths("document-lengths", "Document lengths", caption, by_source, "tokens, from", "documents")


def _lengths(
    id: str, title: str, caption: str, by_source: Mapping[str, Mapping[str, int]], unit: str, items: str
) -> list[Plot]:
    lengths = sorted({int(length) for counts in by_source.values() for length in counts})
    if not lengths:
        return []
    traces = []
    for n, (name, counts) in enumerate(by_source.items()):
        total = max(sum(counts.values()), 1)
        shares = [100 * counts.get(str(length), 0) / total for length in lengths]
        traces.append(bar([f"{length:,}" for length in lengths], shares, name, colour(n)))
    layout = {
        "barmode": "group",
        "xaxis": {"title": {"text": unit}, "type": "category", "showgrid": False},
        "yaxis": {"title": {"text": f"% of the {items}"}, "rangemode": "tozero"},
    }
    return [Plot(id, title, caption, traces, layout)]


def _loss(columns: StepColumns, sources: Sequence[str], unit: str) -> Plot:
    step, total = columns.figures["step"], columns.figures["loss"]
    traces = [_line(step, total, "all", _NEUTRAL, width=1, opacity=0.45)]
    traces.append(_line(step, running_mean(total), "all, running mean", _NEUTRAL, width=2.5))
    for n, source in enumerate(sources):
        if source in columns.by_source:
            traces.append(_line(step, running_mean(columns.by_source[source]), source, colour(n), width=1.5))
        if source in columns.validation:
            traces.append(
                _line(step, columns.validation[source], f"{source}, validation", colour(n), width=1.5, markers=True)
            )
    layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": unit}}, "height": 440}
    caption = "Training loss as running means, and validation loss (dashed, with points) where it was measured."
    return Plot("loss", "Loss by source", caption, traces, layout)


def _data_wait(columns: StepColumns) -> Plot:
    seconds = columns.figures["secondsPerStep"]
    share = 100 * columns.figures["dataWaitSeconds"] / np.where(seconds > 0, seconds, np.nan)
    layout = {
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {"title": {"text": "% of the step"}, "rangemode": "tozero"},
    }
    traces = [_line(columns.figures["step"], share, "data wait", PALETTE[0], width=1.2)]
    return Plot("data-wait", "Waiting for data", "Share of each step's time.", traces, {**layout, "showlegend": False})


def _curve(
    columns: StepColumns,
    figure: str,
    id: str,
    title: str,
    caption: str,
    unit: str,
    *,
    log: bool = False,
    smooth: bool = True,
) -> Plot:
    step, values = columns.figures["step"], columns.figures[figure]
    traces = [_line(step, values, title, PALETTE[0], width=1 if smooth else 2, opacity=0.45 if smooth else 1)]
    if smooth:
        traces.append(_line(step, running_mean(values), "running mean", PALETTE[0], width=2))
    axis: dict[str, Any] = {"title": {"text": unit}, "rangemode": "normal" if log else "tozero"}
    layout = {
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {**axis, **({"type": "log"} if log else {})},
        "showlegend": False,
    }
    return Plot(id, title, caption, traces, layout)


def running_mean(values: Column) -> Column:
    """Mean over the values around each place that are numbers; NaN where there are none."""
    width = max(1, int(len(values) * _SMOOTHING_SHARE)) | 1
    known = ~np.isnan(values)
    sums = np.cumsum(np.concatenate([[0.0], np.where(known, values, 0.0)]))
    counts = np.cumsum(np.concatenate([[0], known]))
    place = np.arange(len(values))
    low, high = np.maximum(place - width // 2, 0), np.minimum(place + width // 2 + 1, len(values))
    found = counts[high] - counts[low]
    return np.where(found > 0, (sums[high] - sums[low]) / np.maximum(found, 1), np.nan)


def _line(
    step: Column, values: Column, name: str, shade: str, *, width: float, opacity: float = 1, markers: bool = False
) -> dict[str, Any]:
    places = thin(values, MOST_POINTS)
    return {
        "type": "scatter",
        "mode": "lines+markers" if markers else "lines",
        "name": name,
        "x": [int(s) for s in step[places]],
        "y": [float(f"{v:.6g}") for v in values[places]],
        "line": {"color": shade, "width": width, **({"dash": "dot"} if markers else {})},
        "opacity": opacity,
    }


def bar(
    x: Iterable[Any], y: Iterable[Any], name: str, shade: str, *, horizontal: bool = False, **more: Any
) -> dict[str, Any]:
    """A trace of bars."""
    trace = {"type": "bar", "x": list(x), "y": list(y), "name": name, "marker": {"color": shade}, **more}
    return {**trace, "orientation": "h"} if horizontal else trace
