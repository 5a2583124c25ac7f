"""`pretrain run`: from a job file to a trained, evaluated and exported model on this machine."""

import os
import signal
import sys

import click

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_USER_ERROR
from pretrain_cli.standard_error import say

_EXIT_BY_SIGNAL = 128


@click.command(
    epilog="""\b
Examples:
  pretrain run job.yaml
  pretrain run job.yaml --set spec.storage.uri=file:///data/run --set spec.training.steps=100
  pretrain run job.yaml --accept-changes
  pretrain run job.yaml --metrics-port 9100"""
)
@click.argument("file", type=click.Path(allow_dash=True))
@click.option(
    "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Replace a field: spec.training.steps=100. Repeatable."
)
@click.option("--accept-changes", is_flag=True, help="Run stages again whose settings changed since the last run.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Answer Prometheus there meanwhile, at /metrics; 0: at a free port, which is told.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only lines for what happens, no progress.")
def command(file: str, sets: tuple[str, ...], accept_changes: bool, metrics_port: int | None, quiet: bool) -> int:
    """Run the job in FILE ("-": standard input) on this machine, or go on with it where it was.

    Ctrl-C saves a checkpoint and stops; a second one stops at once. The same command goes on. Edits of FILE that a run may
    follow, such as weights of sources, are followed meanwhile.
    Exit codes: 0 succeeded, 1 failed, 2 something you wrote is wrong, 130 and 143 stopped by a signal.
    """
    from pretrain_api.parse import load
    from pretrain_api.storage import Storage
    from pretrain_api.types import PretrainJobStatus
    from pretrain_cli.display import summary
    from pretrain_cli.display.lasting import LastingDisplay
    from pretrain_cli.display.live import LiveDisplay
    from pretrain_cli.display.plain import PlainDisplay
    from pretrain_operator.bodies.local.edited import JobFile
    from pretrain_operator.bodies.local.run import run

    # Before it is read: an edit in between is one of the job that runs.
    read = JobFile(file, lambda: load(file, sets)) if file != "-" else None
    job = load(file, sets)
    status = PretrainJobStatus()
    terminal = sys.stderr.isatty() and not quiet and os.environ.get("TERM") != "dumb"
    display = LastingDisplay(LiveDisplay(job.metadata.name, status) if terminal else PlainDisplay(status, quiet))
    told = False
    views = run(job, accept_changes, metrics_port, read)
    view = next(views)  # refused jobs raise here, before anything is drawn
    with display:
        display.show(view)
        for view in views:
            if view.stopped_by and not told:
                told = True
                display.say("stopping after a checkpoint; press Ctrl-C again to stop at once")
            display.show(view)
    again = f"`{_command_line()}` goes on where it was."
    if view.status.state == "Succeeded":
        for line in summary.lines(view.status, Storage.of(job.spec.storage)):
            click.echo(line)
        return EXIT_OK
    if view.status.state == "Failed":
        summed = next(c for c in view.status.conditions if c.type == "Succeeded")
        say(f"error: {summed.message}")
        return EXIT_USER_ERROR if summed.reason == "UserError" else EXIT_FAILURE
    if view.stopped_by:
        how = "stopped" if view.status.state == "Suspended" else "stopped at once"
        say(f"{how}: {signal.Signals(view.stopped_by).name}. {again}")
        return _EXIT_BY_SIGNAL + view.stopped_by
    say("suspended: spec.suspend is true. Set it to false and run again: it goes on where it was.")
    return EXIT_OK


def _command_line() -> str:
    import shlex

    return shlex.join(["pretrain", *sys.argv[1:]])
