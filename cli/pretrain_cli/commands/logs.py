"""`pretrain logs`: what the stage programs printed."""

import os
import shutil
import sys
import threading
from pathlib import Path

import click

from pretrain_api.errors import EXIT_OK, UserError

_LOOK_SECONDS = 0.3
_BLOCK_BYTES = 1 << 16
_STAGES = ["Collect", "Prepare", "Tokenizer", "Encode", "Train", "Evaluate", "Export", "Report"]


@click.command(
    epilog="""\b
Examples:
  pretrain logs job.yaml
  pretrain logs job.yaml --stage Train --tail 50 --follow"""
)
@click.argument("target", metavar="FILE|STORAGE_URI")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("--stage", type=click.Choice(_STAGES, case_sensitive=False), help="Only this stage.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each stage.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run ends.")
def command(target: str, sets: tuple[str, ...], stage: str | None, tail: int | None, follow: bool) -> int:
    """Print the logs of a run's stages, in the order in which they run."""
    from pretrain_api.stages import Stage
    from pretrain_cli.target import recorded_job, workplace

    place = workplace(target, sets)
    recorded_job(place)
    paths = [place.log(s) for s in ([Stage(stage)] if stage else Stage)]
    printed = {path: _print_from(path, _begin(path, tail)) for path in paths}
    if not follow and not any(printed.values()):
        which = f"{stage} has" if stage else "the stages have"
        raise UserError("no-logs", str(place.logs), f"{which} not written anything.", "Run the job first.")
    pause = threading.Event()
    while follow:
        running = place.runner()  # asked before reading, so that the last lines are not missed
        for path in paths:
            printed[path] = _print_from(path, printed[path])
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
