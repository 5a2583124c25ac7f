"""`pretrain watch`: one job on the whole screen."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

import click

from pretrain_api.errors import UserError
from pretrain_cli.cluster.options import complete_job, connection_options, is_job_name

if TYPE_CHECKING:
    from pretrain_cli.watch.news import Source

_NEEDED = ("textual", "plotext")
"""Libraries of the extra `console`."""


@click.command(
    epilog="""\b
Examples:
  pretrain watch gpt-small
  pretrain watch job.yaml
  pretrain watch ./run"""
)
@click.argument("target", metavar="NAME|FILE|STORAGE_URI", shell_complete=complete_job)
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@connection_options
def command(
    target: str, sets: tuple[str, ...], namespace: str | None, context: str | None, kubeconfig: str | None
) -> int:
    """Show a job in the cluster (NAME), or a run on this machine (FILE, STORAGE_URI), on the whole screen.

    Stages, the curve of the loss, workers, incidents and logs, as they come. q ends the view and leaves the job alone.
    """
    source = _source(target, sets, (kubeconfig, context, namespace))
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        what = f"{', '.join(missing)} cannot be imported here."
        instead = (
            "Install them: pip install 'pretrain-operator[console]', or use `pretrain status` and `pretrain describe`."
        )
        raise UserError("console-not-installed", "pretrain watch", what, instead)
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        raise click.UsageError("It needs a terminal. Write `pretrain logs -f`, `wait`, `status` or `describe` instead.")
    from pretrain_cli.watch.app import shown

    return shown(source)


def _source(target: str, sets: tuple[str, ...], chosen: tuple[str | None, str | None, str | None]) -> Source:
    """Raises UserError where there is no such job or run."""
    if is_job_name(target):
        if sets:
            raise click.UsageError("--set goes with a job file.")
        from pretrain_cli.cluster.options import connected_for
        from pretrain_cli.watch.in_cluster import ClusterJob

        return ClusterJob(connected_for(target, *chosen), target)
    if any(chosen):
        raise click.UsageError(f"-n, --context and --kubeconfig go with the NAME of a job; {target} is none.")
    from pretrain_cli.target import recorded_job, workplace
    from pretrain_cli.watch.local import LocalRun

    place = workplace(target, sets)
    recorded_job(place)
    return LocalRun(place)
