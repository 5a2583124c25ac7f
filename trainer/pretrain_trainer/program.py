"""One run of a stage program, whatever the stage: identity, skip, run, record, outcome, exit code.

The same program runs in a pod and under `pretrain run`; a training runs one copy per rank, and the first rank of
each machine speaks for it unless another one fails first. A phase before the last leaves no record.
"""

import argparse
import contextlib
import importlib
import json
import logging
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from pretrain_api import layout, records
from pretrain_api.errors import UserError
from pretrain_api.events import ENV_OUTCOME, Outcome, exit_code, fitted
from pretrain_api.stages import FINISH, PHASES, CompletionRecord, Stage, fingerprint
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer import models, working_time
from pretrain_trainer.agent.place import ENV_RESTARTS
from pretrain_trainer.context import Share, StageContext, StageResult, Stopped
from pretrain_trainer.documents.faults import chain
from pretrain_trainer.process import die_with_parent, stop_on_signals
from pretrain_trainer.progress import Progress
from pretrain_trainer.storage_faults import explained, first_contact

_LONGEST_MESSAGE = 3000
"""Characters; the outcome must fit a termination message of 4 KiB."""


def main(arguments: list[str] | None = None) -> int:
    """Run one stage and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pretrain_trainer", description="Runs one stage of a PretrainJob.")
    parser.add_argument("--stage", required=True, type=Stage, choices=list(Stage))
    parser.add_argument("--job", required=True, type=Path, help="the job as JSON")
    parser.add_argument("--upstream", action="append", default=[], metavar="STAGE=FINGERPRINT")
    parser.add_argument("--phase", default=FINISH.name, help="the phase of the stage; the last one is the whole stage")
    parser.add_argument("--parts", type=int, default=1, help="how many programs share the phase")
    parser.add_argument("--index", type=int, default=0, help="which of them this one is, from 0")
    parser.add_argument("--processes", type=int, default=0, help="in place of spec.data.prepare.parallelism")
    parser.add_argument("--scratch", type=Path, help="where to make the folder for what need not survive")
    options = parser.parse_args(arguments)
    if options.phase not in [phase.name for phase in PHASES[options.stage]]:
        parser.error(f"{options.stage} has no phase {options.phase!r}")
    if not 0 <= options.index < options.parts:
        parser.error(f"index {options.index} is not below {options.parts} parts")
    die_with_parent()
    stopping = stop_on_signals()
    rank = int(os.environ.get("RANK", "0"))
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # Libraries say at this level what is of no interest, such as where they found credentials.
    logging.getLogger("pretrain_trainer").setLevel(logging.INFO if rank == 0 else logging.WARNING)
    storage: Storage | None = None
    try:
        job = PretrainJob.model_validate(json.loads(options.job.read_text()))
        upstream = {Stage(name): value for name, _, value in (pair.partition("=") for pair in options.upstream)}
        _use_endpoint(job.spec.storage.endpoint_url)
        models.import_lean(job.spec)
        storage = Storage.of(job.spec.storage)
        first_contact(storage, again=int(os.environ.get(ENV_RESTARTS, "0")) > 0)
        progress = Progress(options.stage, path=None if rank == 0 else "")
        with _scratch(storage, f"{options.stage.lower()}-{rank}", options.scratch) as scratch:
            share = Share(options.index, options.parts)
            context = StageContext(
                job, storage, upstream, "", progress, scratch, stopping, share, processes=options.processes
            )
            outcome = _run(options.stage, options.phase, context, rank)
    except Stopped:
        outcome = Outcome(outcome="stopped", message="stopped on request")
    except Exception as error:  # noqa: BLE001 - the border of the program: every failure becomes an outcome
        outcome = _failure(error, storage, rank)
    if os.environ.get("LOCAL_RANK", "0") == "0" or outcome.outcome in ("userError", "failed"):
        _write_outcome(outcome)
    return exit_code(outcome)


_ONE_PLACE = (Stage.EXPORT, Stage.REPORT)
"""Stages that write to the same place whatever their settings."""


def _use_endpoint(url: str) -> None:
    """Documents and tokenizers at s3:// addresses come from the server of the run's own storage, unless the environment
    names another. Processes of the stage inherit it."""
    if url and "AWS_ENDPOINT_URL" not in os.environ:
        os.environ.setdefault("AWS_ENDPOINT_URL_S3", url)


def _run(stage: Stage, phase: str, context: StageContext, rank: int) -> Outcome:
    module = importlib.import_module(f"pretrain_trainer.stages.{stage.lower()}")
    inputs = module.inputs(context) if hasattr(module, "inputs") else ""
    identity = fingerprint(stage, context.spec, context.upstream, inputs)
    context = replace(context, fingerprint=identity)
    with contextlib.suppress(FileNotFoundError):
        done = records.read(context.storage, stage, identity)
        return Outcome(outcome="complete", fingerprint=identity, skipped=True, flow=done.flow)
    if phase != FINISH.name:
        module.PHASES[phase](context)
        return Outcome(outcome="complete")
    result: StageResult = module.run(context) if rank else _recorded(module, stage, context)
    return Outcome(outcome="complete", fingerprint=identity, message=result.message, flow=result.flow)


def _recorded(module: ModuleType, stage: Stage, context: StageContext) -> StageResult:
    """The stage carried out, and its completion record written."""
    if stage in _ONE_PLACE:
        # What others made of other settings is about to be overwritten, so it is no longer there to be skipped to.
        folder, own = os.path.split(layout.record(stage, context.fingerprint))
        others = [name for name in context.storage.names(folder) if name != own]
        context.storage.remove_files([f"{folder}/{name}" for name in others])
    with working_time.counted(context.storage, stage, context.fingerprint) as clock:
        result: StageResult = module.run(context)
        worked = clock.now()
        record = CompletionRecord(
            stage=stage,
            fingerprint=context.fingerprint,
            upstream=dict(context.upstream),
            started=worked.started,
            completed=datetime.now(UTC),
            seconds=worked.seconds,
            attempts=worked.attempts,
            flow=result.flow,
            sources=dict(result.sources),
            message=result.message,
            details=dict(result.details),
        )
        context.storage.write_json(layout.record(stage, context.fingerprint), record.model_dump(mode="json"))
    return result


@contextlib.contextmanager
def _scratch(storage: Storage, name: str, place: Path | None) -> Iterator[Path]:
    """A folder for what need not survive. On local storage it has a fixed place, so that a killed run's is found;
    programs that share a storage name a place of their own instead."""
    if storage.is_local and place is None:
        folder = Path(storage.path(f"{layout.SCRATCH}/{name}"))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix=f"pretrain-{name}-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _failure(error: BaseException, storage: Storage | None, rank: int) -> Outcome:
    user_error = next((e for e in chain(error) if isinstance(e, UserError)), None)
    fault = user_error or explained(error, storage)
    if user_error := fault if isinstance(fault, UserError) else None:
        print(f"error: {user_error}", file=sys.stderr)  # noqa: T201 - the program's log is its stderr
        message = _printable(str(user_error))[:_LONGEST_MESSAGE]
        return Outcome(outcome="userError", code=user_error.code, message=message, rank=rank)
    text = "".join(traceback.format_exception(error))
    print(text, file=sys.stderr)  # noqa: T201
    if fault:
        message = _printable(str(fault))[:_LONGEST_MESSAGE]
        return Outcome(outcome="failed", kind=_kind(fault), message=message, rank=rank)
    return Outcome(outcome="failed", kind=_kind(error), message=_printable(text)[-_LONGEST_MESSAGE:], rank=rank)


def _printable(text: str) -> str:
    """The text with what UTF-8 cannot hold, such as a file name of other bytes, written as escapes."""
    return text.encode(errors="backslashreplace").decode()


def _kind(error: BaseException) -> str:
    """One word for the failure: what the error calls itself, or its class."""
    return str(getattr(error, "kind", "")) or type(error).__name__.removesuffix("Error")


def _write_outcome(outcome: Outcome) -> None:
    """The first rank that speaks is heard: those that fail later fail because of it."""
    path = os.environ.get(ENV_OUTCOME)
    if not path:
        return
    with contextlib.suppress(FileExistsError), open(path, "xb") as file:
        file.write(fitted(outcome))
