"""Suspending and resuming: one field of the spec, of one job or many, and waiting until it has had its effect."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_USER_ERROR, UserError
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster import jobs, output
from pretrain_cli.cluster.connection import Connection, Json
from pretrain_cli.cluster.options import each
from pretrain_cli.cluster.waiting import ENDED, Answer, wanted
from pretrain_cli.cluster.waits import waited
from pretrain_cli.standard_error import say


def chosen(connection: Connection, names: Sequence[str], every: bool, selector: str | None) -> tuple[str, ...]:
    """The names that are meant."""
    if not every and not selector:
        return tuple(dict.fromkeys(names))
    found = jobs.listed(connection, selector or "")
    if not found:
        say(f"No PretrainJobs in namespace {connection.namespace}" + (f" with {selector}." if selector else "."))
    return tuple(job["metadata"]["name"] for job in found)


def set_suspend(
    connection: Connection, names: Sequence[str], suspend: bool, skip_ended: bool, wait: bool, timeout: float | None
) -> int:
    """Write spec.suspend of every job; gives the exit code. `skip_ended`: they were not named, only meant with all."""
    meant: list[str] = []
    changed: list[str] = []

    def change(name: str) -> None:
        job = jobs.read(connection, name)
        state = jobs.status(job).state
        if state in ENDED:
            if skip_ended:
                return
            what = f"it has {state.lower()}; there is nothing to {'suspend' if suspend else 'resume'}."
            raise UserError(
                "job-ended", output.name(job), what, "Submit the job again under another name to run it anew."
            )
        meant.append(name)
        if _is_suspend(job) == suspend:
            click.echo(f"{output.name(job)} is {'suspended already' if suspend else 'not suspended'}")
            return
        jobs.set_suspend(connection, name, suspend)
        changed.append(name)
        click.echo(f"{output.name(job)} {'suspending' if suspend else 'resumed'}")

    errors = each(tuple(names), change)
    exit_code = EXIT_USER_ERROR if errors else EXIT_OK
    if wait and meant:
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        if not _have_all_come(connection, meant, suspend, end):
            exit_code = exit_code or EXIT_FAILURE
    elif suspend and changed:
        say("Training saves a checkpoint first, then every pod is freed; `pretrain resume` goes on.")
    return exit_code


def _have_all_come(connection: Connection, names: Sequence[str], suspend: bool, end: float) -> bool:
    look = wanted("state=Suspended").look if suspend else _is_at_work
    assert look is not None  # only deletion has none
    missed = False
    for result in waited(connection, names, look, end):
        if result.state == "reached":
            click.echo(f"{jobs.KIND}/{result.name} is {result.status.state}")
        else:
            missed = True
            say(f"{jobs.KIND}/{result.name}: {result.why}")
    return not missed


def _is_at_work(status: PretrainJobStatus) -> Answer:
    if status.state in ("Pending", "Suspended"):
        return Answer("waiting")
    return Answer("reached")


def _is_suspend(job: Json) -> bool:
    return bool(job["spec"].get("suspend", False))
