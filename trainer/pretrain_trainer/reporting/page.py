"""`report/index.html`: one page that needs no other file, no network and, for its tables, no JavaScript.

Texts in it come from documents of unknown origin. Everything is escaped, and the page's content security policy
forbids it to load anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pretrain_trainer.reporting import image_figures, plots, tasks, words
from pretrain_trainer.reporting.columns import StepColumns
from pretrain_trainer.reporting.content import Content
from pretrain_trainer.reporting.goodput import shares
from pretrain_trainer.reporting.key_figures import key_figures
from pretrain_trainer.reporting.pictures import Shown
from pretrain_trainer.reporting.types import Report
from pretrain_trainer.reporting.units import Units

_MILESTONES = 20
"""Rows of the table of steps."""


def render(content: Content, columns: StepColumns, pictures: Sequence[Shown] = ()) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("pretrain_trainer.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": words.count,
        "size": words.size,
        "seconds": words.seconds,
        "moment": words.moment,
        "json": lambda value: json.dumps(value, indent=1, ensure_ascii=False),
    }

    def asset(name: str) -> Markup:
        # Our own style and program, not text from documents.
        return Markup(environment.loader.get_source(environment, name)[0])  # type: ignore[union-attr]

    report, task = content.report, tasks.task(next(iter(content.job["spec"]["objective"]), ""))
    compared = image_figures.compared(report.evaluation)
    by_section = {
        "funnel": plots.funnel(content.funnels, task.units.documents),
        "mixture": plots.mixture(report),
        "tokenizer": content.tokenizer.plots,
        "training": plots.training(columns, list(report.sources), task.units),
        "evaluation": image_figures.plot(compared)
        if task.images
        else plots.evaluation(report.evaluation, task.predicted),
    }
    drawn = [plot for section in by_section.values() for plot in section]
    return environment.get_template("report.html").render(
        report=report,
        task=task,
        units=task.units,
        compared=compared,
        pictures=pictures,
        prefix="prefixLM" in content.job["spec"]["objective"],
        model_name=content.model_name,
        key_figures=key_figures(report, columns, task),
        timeline=_timeline(report),
        time=shares(report.time),
        colours=[plots.colour(number) for number in range(len(report.stages))],
        plots=by_section,
        drawn=bool(drawn),
        figures=_inline_json([plot.figure() for plot in drawn]),
        funnels=content.funnels,
        examples=content.examples,
        tokenizer=content.tokenizer,
        steps=len(columns),
        milestones=_milestones(columns, list(report.sources), task.units),
        validation_rows=_validation_rows(columns, list(report.sources)),
        recovery_rows=_recovery_rows(columns),
        recoveries=len(columns.recoveries),
        provenance=content.provenance,
        environment=content.environment,
        job_yaml=yaml.safe_dump(content.job, sort_keys=False, allow_unicode=True),
        version=version("pretrain-operator"),
        css=asset("report.css"),
        js=asset("report.js"),
        plotly=Markup(get_plotlyjs()),
    )


def _timeline(report: Report) -> list[dict[str, Any]]:
    total = sum(stage.seconds for stage in report.stages)
    return [
        {"name": stage.name, "seconds": stage.seconds, "share": stage.seconds / total, "colour": plots.colour(number)}
        for number, stage in enumerate(report.stages)
        if stage.seconds
    ]


def _milestones(columns: StepColumns, sources: Sequence[str], units: Units) -> list[list[str]]:
    """Rows for the table of steps: the first, the last and others at even distances."""
    if not len(columns):
        return []
    figures = columns.figures
    rows = []
    for place in np.unique(np.linspace(0, len(columns) - 1, _MILESTONES).round().astype(int)):
        by_source = [columns.by_source[name][place] if name in columns.by_source else np.nan for name in sources]
        rows.append(
            [
                words.count(figures["step"][place]),
                words.number(figures[units.total][place], ",.0f"),
                words.number(figures["loss"][place]),
                *(words.number(loss) for loss in by_source),
                words.number(figures["learningRate"][place], ".3g"),
                words.number(figures["gradientNorm"][place], ".3g"),
                words.number(figures[units.rate][place], ",.0f"),
            ]
        )
    return rows


def _validation_rows(columns: StepColumns, sources: Sequence[str]) -> list[list[str]]:
    """At most _MILESTONES of the steps at which validation losses were measured."""
    if not columns.validation:
        return []
    measured = np.flatnonzero(~np.all([np.isnan(values) for values in columns.validation.values()], axis=0))
    places = measured[np.unique(np.linspace(0, len(measured) - 1, _MILESTONES).round().astype(int))]
    return [
        [
            words.count(columns.figures["step"][place]),
            *(words.number(columns.validation[name][place]) if name in columns.validation else "" for name in sources),
        ]
        for place in places
    ]


def _recovery_rows(columns: StepColumns) -> list[list[str]]:
    """The last of the recoveries, newest first."""
    return [
        [
            words.count(step),
            each.kind,
            each.worker or f"rank {each.rank}",
            each.cause,
            f"{each.seconds:.1f} s",
            words.count(each.lost_steps),
            ", ".join(f"{name} {seconds:.2f}" for name, seconds in each.phases.items()),
        ]
        for step, each in reversed(columns.recoveries[-_MILESTONES:])
    ]


def _inline_json(value: Any) -> Markup:
    """JSON for a script element: with '<' escaped, no text in it can end the element."""
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))
