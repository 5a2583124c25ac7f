"""`pretrain top`: the jobs of a cluster beside each other, live."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pretrain_api.errors import EXIT_OK
from pretrain_cli.cluster.options import connection_options
from pretrain_cli.standard_error import say

if TYPE_CHECKING:
    from pretrain_cli.cluster.connection import Connection

_KEYS = ("name", "state", "progress", "tokens", "workers", "goodput", "eta", "incidents", "age")
_REDRAW_SECONDS = 0.5
_WIDE_COLUMNS = 160
"""Of a table that goes into a pipe or a file."""


@click.command(
    epilog="""\b
Examples:
  pretrain top
  pretrain top -A --sort-by goodput
  pretrain top --once -l team=search
  pretrain top -A -o json"""
)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Jobs of all namespaces.")
@click.option("-l", "--selector", metavar="LABELS", help="Only jobs with these labels: team=search,!draft.")
@click.option(
    "--sort-by", "key", type=click.Choice(_KEYS), default="state", show_default=True, help="Order of the rows."
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--once", is_flag=True, help="Print one table and end, as where there is no terminal.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "wide", "json", "yaml"]),
    default="text",
    help="Form of the result; all but text are printed once.",
)
@connection_options
def command(
    everywhere: bool,
    selector: str | None,
    key: str,
    reverse: bool,
    once: bool,
    output: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Show the PretrainJobs of a cluster as they change: state, progress, speed, workers, goodput, time left, incidents.

    On a terminal the first letter of a column's name sorts by it, r turns the order round and q ends.
    """
    if everywhere and namespace:
        raise click.UsageError("Write either -A or -n, not both.")
    from pretrain_cli.cluster.options import connected

    connection = connected(kubeconfig, context, namespace, everywhere)
    if once or output != "text" or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return _printed(connection, selector or "", everywhere, key, reverse, output)
    return _live(connection, selector or "", everywhere, key, reverse)


def _printed(connection: Connection, selector: str, everywhere: bool, key: str, reverse: bool, output: str) -> int:
    from rich.console import Console

    from pretrain_cli.cluster import fleet, jobs
    from pretrain_cli.cluster.output import text
    from pretrain_cli.display.fleet_table import table

    now = datetime.now(UTC)
    rows = [fleet.row_of(job, now) for job in jobs.listed(connection, selector)]
    rows = fleet.ordered(rows, key, reverse)
    if output in ("json", "yaml"):
        click.echo(text(fleet.document(rows), output))
        return EXIT_OK
    if not rows:
        say("No PretrainJobs " + ("in any namespace." if everywhere else f"in namespace {connection.namespace}."))
        return EXIT_OK
    console = Console(width=None if sys.stdout.isatty() else _WIDE_COLUMNS)
    console.print(fleet.summary(rows))
    console.print(table(rows, everywhere, wide=output == "wide"))
    return EXIT_OK


def _live(connection: Connection, selector: str, everywhere: bool, key: str, reverse: bool) -> int:
    from rich.console import Console
    from rich.live import Live

    from pretrain_cli.cluster import fleet
    from pretrain_cli.cluster.known import Known
    from pretrain_cli.display import keys
    from pretrain_cli.display.fleet_table import screen

    known = Known(connection, selector)
    known.follow()
    console = Console()
    with keys.pressed() as wait, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            now = datetime.now(UTC)
            rows = [fleet.row_of(job, now) for job in known.jobs()]
            note = "" if rows else "no PretrainJobs here" if known.is_listed else "asking the cluster ..."
            shown = screen(fleet.ordered(rows, key, reverse), everywhere, key, reverse, console.height, note)
            live.update(shown, refresh=True)
            pressed = wait(_REDRAW_SECONDS)
            if pressed == "q":
                return EXIT_OK
            if pressed == "r":
                reverse = not reverse
            key = next((name for name in _KEYS if name[0] == pressed), key)
