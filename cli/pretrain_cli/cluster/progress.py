"""A job's progress in the cluster, shown as `pretrain run` shows it, until the job ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import click
from pydantic import ValidationError

from pretrain_api import cluster, layout
from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_USER_ERROR, PretrainError
from pretrain_api.events import ProgressEvent
from pretrain_api.nouns import counted
from pretrain_api.report import Report
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import ApiRefusal, Connection, Json
from pretrain_cli.cluster.waiting import ENDED
from pretrain_cli.cluster.watching import Outage, is_passing
from pretrain_cli.display import story
from pretrain_cli.display.live import LiveDisplay
from pretrain_cli.display.plain import PlainDisplay
from pretrain_cli.display.wording import duration
from pretrain_cli.standard_error import say
from pretrain_operator.bodies.local.run import View

_LOOK_SECONDS = 2.0


def followed(connection: Connection, job: Json, quiet: bool) -> int:
    """Show the job until it ends; gives the exit code. `quiet`: only what happens."""
    name, before = job["metadata"]["name"], jobs.status(job)
    terminal = sys.stderr.isatty() and not quiet and os.environ.get("TERM") != "dumb"
    display = LiveDisplay(name, before) if terminal else PlainDisplay(before, quiet)
    status = before
    with display:
        for view in _views(connection, job):
            display.show(view)
            status = view.status
    if status.state == "Succeeded":
        for line in summary(status, job["spec"]["storage"]["uri"]):
            click.echo(line)
        return EXIT_OK
    ending = next((c for c in status.conditions if c.type == "Succeeded"), None)
    if status.state != "Failed" or ending is None:
        say(f"error: {name} was deleted while it was {status.state}.")
        return EXIT_FAILURE
    say(f"error: {ending.message}")
    return EXIT_USER_ERROR if ending.reason == "UserError" else EXIT_FAILURE


def summary(status: PretrainJobStatus, storage: str) -> Iterator[str]:
    """What the job came to, from its status alone: its storage may be out of this machine's reach."""
    for stage in status.stages:
        if stage.state == "Complete":
            yield f"{stage.name:<10} {duration(story.seconds(stage)):>9}  {stage.message}".rstrip()
    yield ""
    if status.progress.loss:
        yield f"final loss {status.progress.loss} after {counted(status.progress.step, 'step')}"
    complete = {entry.name for entry in status.stages if entry.state == "Complete"}
    if Stage.EXPORT in complete:
        yield f"model      {storage.rstrip('/')}/{layout.EXPORT_HUGGING_FACE}"
    if Stage.REPORT in complete:
        yield f"report     {storage.rstrip('/')}/{layout.REPORT_HTML}"


def _views(connection: Connection, job: Json) -> Iterator[View]:
    """The job every few seconds until it has ended or is gone."""
    metadata, outage, pause = job["metadata"], Outage(), threading.Event()
    report = Reports(connection, metadata["name"])
    was_suspended = False
    while True:
        try:
            now = jobs.find(connection, metadata["name"])
            if now is None or now["metadata"]["uid"] != metadata["uid"]:
                return
            status = jobs.status(now)
            events = report.news() if status.state not in ENDED else []
        except PretrainError as error:
            if not is_passing(error):
                raise
            outage.bear(error, float("inf"))
            continue
        outage.over()
        is_suspended = status.state == "Suspended"
        told = f"suspended: `pretrain resume {metadata['name']}` goes on"
        yield View(status, events, [told] if is_suspended and not was_suspended else [])
        if status.state in ENDED:
            return
        was_suspended = is_suspended
        pause.wait(_LOOK_SECONDS)


class Reports:
    """The figures that the job's pods report, as far as one may read them."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._path = f"/api/v1/namespaces/{connection.namespace}/configmaps/{cluster.report_name(name)}"
        self._may_read = True
        self._newest = ""

    def news(self) -> list[tuple[Stage, ProgressEvent]]:
        """The newest figures, if they are new."""
        if not self._may_read:
            return []
        try:
            text = (self._connection.read(self._path).get("data") or {}).get(cluster.REPORT_KEY, "")
            if not text or text == self._newest:
                return []
            self._newest = text
            report = Report.model_validate_json(text)
        except ApiRefusal as refusal:
            self._may_read = refusal.code != "forbidden"
            return []
        except ValidationError:  # a newer operator's; the status is enough
            return []
        event = ProgressEvent(
            time=report.time.timestamp(),
            stage=report.stage,
            phase=report.phase,
            done=report.done,
            total=report.total,
            unit=report.unit,
            message=report.message,
            figures=report.figures,
        )
        return [(report.stage, event)]
