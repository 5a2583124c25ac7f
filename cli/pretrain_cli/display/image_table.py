"""The evaluation of a model of images as a table: a row for each figure, the model's beside those of its baselines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_COUNTS = ("images", "classes")
_OTHERS = {"random": "random weights", "pixels": "raw pixels", "chance": "chance"}
"""Who the model is compared with: how the names of baselines begin, and the heading."""
_WORDS = {"knn": "k-NN"}


def lines(by_source: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The table. A figure `knnAccuracy` has its baselines in `randomKnnAccuracy` and `pixelsKnnAccuracy`."""
    others = [who for who in _OTHERS if any(_has(figures, who) for figures in by_source.values())]
    yield ""
    yield _row(["source", "", "model", *(_OTHERS[who] for who in others)])
    for name, figures in by_source.items():
        baselines, source = figures["baselines"], name
        for figure, value in figures.items():
            if figure in _COUNTS or not isinstance(value, float):
                continue
            beside = [baselines.get(_of(who, figure)) for who in others]
            yield _row([source, _words(figure), *("-" if cell is None else f"{cell:.3f}" for cell in (value, *beside))])
            source = ""
        if (share := baselines.get("mostFrequent")) is not None:
            told = f"{figures['classes']} labels; who always says the most frequent one is right in {share:.3f}"
            yield f"{'':<16}{told}"
    yield ""


def _has(figures: Mapping[str, Any], who: str) -> bool:
    return any(_of(who, figure) in figures["baselines"] for figure in figures)


def _of(who: str, figure: str) -> str:
    return f"{who}{figure[:1].upper()}{figure[1:]}"


def _words(figure: str) -> str:
    """knnAccuracy -> k-NN accuracy"""
    words = re.findall(r"[A-Z]?[a-z]+|[0-9]+", figure)
    return " ".join(_WORDS.get(word.lower(), word.lower()) for word in words)


def _row(cells: Sequence[str]) -> str:
    return f"{cells[0]:<16}{cells[1]:<24}" + "".join(f"{cell:>16}" for cell in cells[2:])
