"""The few figures at the top of the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pretrain_trainer.reporting import words
from pretrain_trainer.reporting.columns import StepColumns
from pretrain_trainer.reporting.tasks import Task
from pretrain_trainer.reporting.types import Report, SourceEvaluation


def key_figures(report: Report, columns: StepColumns, task: Task) -> list[dict[str, str]]:
    """Name, value and unit of each that the run has."""
    training, units = report.training, task.units
    figures = []

    def add(name: str, value: str, unit: str = "") -> None:
        figures.append({"name": name, "value": value, "unit": unit})

    if training.parameters:
        add("Parameters", *words.short(training.parameters))
    seen = training.samples if task.images else training.tokens
    if seen:
        add(f"{units.counted.capitalize()} seen", *words.short(seen))
    if training.step:
        add("Steps", words.count(training.step))
    if training.final_loss is not None:
        add("Final loss", f"{training.final_loss:.3f}", "" if task.images else "nats/token")
    for figure in (_of_images if task.images else _of_text)(list(report.evaluation.values()), task):
        add(*figure)
    # Of the steps: the stage's seconds also hold starts, checkpoints and steps that were repeated.
    if len(columns) and (seconds := float(np.nansum(columns.figures["secondsPerStep"]))):
        add("Throughput", words.count(seen / seconds), f"{units.counted}/s")
    collected = next((stage for stage in report.stages if stage.name == "Collect"), None)
    if collected and collected.documents_out:
        add("Documents", words.count(collected.documents_out), words.size(collected.bytes_out))
    if report.goodput_ratio is not None:
        add("Goodput", f"{100 * report.goodput_ratio:.1f}", "% of training's time")
    add("All stages", words.seconds(sum(stage.seconds for stage in report.stages)))
    return figures


def _of_text(evaluation: list[SourceEvaluation], task: Task) -> Iterable[tuple[str, str, str]]:
    size = sum(e.bytes or 0 for e in evaluation)
    bits = [e.bits_per_byte * (e.bytes or 0) for e in evaluation if e.bits_per_byte is not None]
    right = [e.accuracy * (e.predicted_tokens or 0) for e in evaluation if e.accuracy is not None]
    if bits:
        without = any(e.loss_without_prefix is not None for e in evaluation)
        yield "Held-out text, no prefix" if without else "Held-out text", f"{sum(bits) / size:.3f}", "bits/byte"
    if right:
        predicted = sum(e.predicted_tokens or 0 for e in evaluation)
        yield f"Held-out {task.predicted}", f"{100 * sum(right) / max(predicted, 1):.1f}", "% right"


def _of_images(evaluation: list[SourceEvaluation], task: Task) -> Iterable[tuple[str, str, str]]:
    measured: Any = [(e.knn_accuracy, e.images or 0) for e in evaluation if e.knn_accuracy is not None]
    if measured:
        images = sum(count for _, count in measured)
        share = sum(value * count for value, count in measured) / max(images, 1)
        yield "Held-out images, k-NN", f"{100 * share:.1f}", "% right"
