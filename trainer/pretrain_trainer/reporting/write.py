"""Writes a run's report: `report/report.json` and, last, `report/index.html`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import IO, Any

from pretrain_api import layout
from pretrain_api.step_history import read_steps
from pretrain_api.types.status import State
from pretrain_trainer.reporting import pictures
from pretrain_trainer.reporting.columns import columns_of
from pretrain_trainer.reporting.content import gather
from pretrain_trainer.reporting.page import render
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.reporting.summary import summarise
from pretrain_trainer.reporting.types import Report


def write(run: RunRecords, state: State, created: datetime) -> Report:
    """Write both files and return the content of the first, without its steps."""
    report = summarise(run, state, created)
    commits = run.commits()
    with run.storage.create(layout.REPORT_JSON) as file:
        write_json(file, report, read_steps(run.storage, commits))
    run.storage.write_bytes(layout.REPORT_HTML, page(run, report).encode())
    return report


def page(run: RunRecords, report: Report) -> str:
    """The page as text."""
    columns = columns_of(read_steps(run.storage, run.commits()))
    return render(gather(run, report), columns, pictures.read(run.storage, report.pictures))


def write_json(file: IO[bytes], report: Report, steps: Iterable[Mapping[str, Any]]) -> None:
    """report.json with `training.steps`, a step a line; the steps of a long run never are in memory together."""
    content = report.model_dump(mode="json", by_alias=True)
    training = content.pop("training")
    file.write(json.dumps(content, indent=1, ensure_ascii=False).removesuffix("\n}").encode())
    file.write(b',\n "training": ')
    file.write(json.dumps(training, indent=1).removesuffix("\n}").encode())
    file.write(b',\n "steps": [')
    separator = b"\n"
    for step in steps:
        file.write(separator + json.dumps(step).encode())
        separator = b",\n"
    file.write(b"\n]}}\n")
