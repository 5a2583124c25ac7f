"""`pretrain logs`: what the stage programs printed, on this machine or in the cluster."""

import os
import shutil
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from pretrain_api.errors import EXIT_OK, UserError
from pretrain_cli.cluster.options import complete_job, connection_options, duration, is_job_name

_LOOK_SECONDS = 0.3
_BLOCK_BYTES = 1 << 16
_STAGES = ["Collect", "Prepare", "Tokenizer", "Encode", "Train", "Evaluate", "Export", "Report"]


@click.command(
    epilog="""\b
Examples:
  pretrain logs gpt-small -f
  pretrain logs gpt-small --stage Train --worker 3 --tail 50
  pretrain logs gpt-small --rank 26 --since 10m --timestamps
  pretrain logs gpt-small --previous
  pretrain logs job.yaml --stage Train --tail 50 --follow
  pretrain logs ./run"""
)
@click.argument("target", metavar="NAME|FILE|STORAGE_URI", shell_complete=complete_job)
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("--stage", type=click.Choice(_STAGES, case_sensitive=False), help="Only this stage.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each pod or stage.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run ends, over restarts.")
@click.option(
    "--worker", type=click.IntRange(min=0), metavar="N", help="NAME: only this worker, or this share of a stage."
)
@click.option("--rank", type=click.IntRange(min=0), metavar="N", help="NAME: only this rank of Train, on its worker.")
@click.option("--previous", is_flag=True, help="NAME: the pods before the newest ones, as far as they are left.")
@click.option("--since", metavar="TIME", callback=duration, help="NAME: only the last 90s, 5m, 1h30m.")
@click.option("--timestamps", is_flag=True, help="NAME: with the time of every line.")
@click.option(
    "--prefix/--no-prefix", default=True, show_default=True, help="NAME: with the worker and rank of every line."
)
@connection_options
def command(
    target: str,
    sets: tuple[str, ...],
    stage: str | None,
    tail: int | None,
    follow: bool,
    worker: int | None,
    rank: int | None,
    previous: bool,
    since: float | None,
    timestamps: bool,
    prefix: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Print the logs of a job in the cluster (NAME), or of a run on this machine (FILE, STORAGE_URI).

    A plain word is a NAME: the logs of all its pods, merged by time; write ./run for a folder of that name. Of a run on
    this machine the stages are printed in the order in which they run.
    """
    if is_job_name(target):
        if sets:
            raise click.UsageError("--set goes with a job file.")
        if previous and follow:
            raise click.UsageError("--previous goes without --follow: those pods write nothing more.")
        from pretrain_cli.cluster.logs import Request, print_logs
        from pretrain_cli.cluster.options import connected_for

        request = Request(
            stage=stage or "",
            worker=-1 if worker is None else worker,
            rank=-1 if rank is None else rank,
            previous=previous,
            tail=tail,
            since=None if since is None else datetime.now(UTC) - timedelta(seconds=since),
            follow=follow,
            colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
            timestamps=timestamps,
            prefix=prefix,
        )
        try:
            print_logs(connected_for(target, kubeconfig, context, namespace), target, request)
        except UserError as error:
            raise _or_folder(error, target) from None
        return EXIT_OK
    own = {"--worker": worker, "--rank": rank, "--since": since, "-n": namespace, "--context": context}
    own |= {"--previous": previous or None, "--timestamps": timestamps or None, "--kubeconfig": kubeconfig}
    own |= {"--no-prefix": None if prefix else True}
    for option, value in own.items():
        if value is not None:
            raise click.UsageError(
                f"{option} goes with the NAME of a job in the cluster; {target} is a file or an address."
            )
    return _local(target, sets, stage, tail, follow)


def _or_folder(error: UserError, target: str) -> UserError:
    """The error, with a hint where a folder of the same name may have been meant."""
    if error.code not in ("no-such-job", "cluster-unreachable") or not os.path.isdir(target):
        return error
    return UserError(
        error.code, error.where, error.what, f"{error.instead} For the run in the folder, write ./{target}."
    )


def _local(target: str, sets: tuple[str, ...], stage: str | None, tail: int | None, follow: bool) -> int:
    from pretrain_api.stages import Stage
    from pretrain_cli.target import recorded_job, workplace

    place = workplace(target, sets)
    recorded_job(place)

    def paths() -> list[Path]:  # workers that come later have logs of their own
        return [path for s in ([Stage(stage)] if stage else Stage) for path in place.logs_of(s)]

    printed = {path: _print_from(path, _begin(path, tail)) for path in paths()}
    if not follow and not any(printed.values()):
        which = f"{stage} has" if stage else "the stages have"
        raise UserError("no-logs", str(place.logs), f"{which} not written anything.", "Run the job first.")
    pause = threading.Event()
    while follow:
        running = place.runner()  # asked before reading, so that the last lines are not missed
        for path in paths():
            printed[path] = _print_from(path, printed.get(path, 0))
        if not running:
            break
        pause.wait(_LOOK_SECONDS)
    return EXIT_OK


def _print_from(path: Path, begin: int) -> int:
    """Print a log from byte `begin` on; returns where it ends now. A log that does not exist ends where it begins."""
    try:
        with open(path, "rb") as file:
            file.seek(begin)
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()
            return file.tell()
    except FileNotFoundError:
        return begin


def _begin(path: Path, tail: int | None) -> int:
    """Where the last `tail` lines of a log begin."""
    if tail is None or not path.exists():
        return 0
    with open(path, "rb") as file:
        begin, wanted = file.seek(0, os.SEEK_END), tail + 1
        while begin > 0 and wanted > 0:
            end, begin = begin, max(0, begin - _BLOCK_BYTES)
            file.seek(begin)
            block = file.read(end - begin)
            at = len(block)
            while wanted > 0 and (at := block.rfind(b"\n", 0, at)) >= 0:
                wanted -= 1
        return begin + at + 1 if wanted == 0 else 0
