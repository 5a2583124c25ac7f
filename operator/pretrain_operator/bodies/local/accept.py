"""Whether a job may run in its storage: nothing else lies there, and nothing that defines the run changed."""

import errno
import importlib.util
import os
from collections.abc import Sequence

from pretrain_api import changes, layout
from pretrain_api.changes import Change
from pretrain_api.errors import UserError
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob, PretrainJobStatus
from pretrain_operator.bodies.local import programs
from pretrain_operator.bodies.local.crew import has_gpus, room_here
from pretrain_operator.bodies.local.workplace import Workplace, reached, written_by_user
from pretrain_operator.brain import edits, stages

_LEFT_BEHIND = (layout.ATTEMPTS, layout.LOCAL, layout.LOGS, layout.SCRATCH, layout.STATUS)
"""What a run may still have written while somebody removed its folder, or before it was refused."""
_PLACE = "spec.storage.uri"
"""May differ: the folder was moved, or is written in another way."""
_NEEDED = ("torch", "transformers", "tokenizers", "pyarrow")
"""Libraries of the extra `trainer`; the stage programs cannot start without them."""


def check_machine(job: PretrainJob) -> None:
    """Raise UserError when this machine cannot run the job at all."""
    try:
        os.getcwd()
    except FileNotFoundError as error:  # libraries of the stage programs, MKL for one, do not start in such a place
        what, instead = "the folder that it runs in was removed.", "Change to a folder that exists."
        raise UserError("current-folder-gone", "pretrain run", what, instead) from error
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            "trainer-not-installed",
            "pretrain run",
            f"{', '.join(missing)} cannot be imported here.",
            "Install the stage programs: pip install 'pretrain-operator[trainer]'",
        )
    fits, fewest = room_here(job.spec), job.spec.workers.min
    if fewest > fits:
        why = (
            "with GPUs it is one" if has_gpus() else f"one core for each of their ranks, and it has {programs.cores()}"
        )
        raise UserError(
            "no-room-for-workers",
            "spec.workers.min",
            f"{fewest} workers, but this machine has room for {fits} ({why}).",
            f"Write min: {fits}, and the number of ranks of one worker into spec.workers.processesPerWorker.",
        )


def check_folder(workplace: Workplace) -> None:
    """Raise UserError when the storage cannot be reached or holds something that is not a run. Reads only."""
    storage = workplace.storage
    with written_by_user(storage.uri()), reached(storage):
        if not storage.is_local:
            storage.check()
        if storage.is_local and os.path.exists(storage.root) and not os.path.isdir(storage.root):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", storage.root)
        others = [name for name in storage.names("") if name not in _LEFT_BEHIND]
        is_run = storage.exists(layout.RUN)
    if others and not is_run:
        shown = ", ".join(others[:3]) + (" ..." if len(others) > 3 else "")
        raise UserError(
            "storage-not-empty",
            "spec.storage.uri",
            f"{storage.uri()} holds something that is not a run: {shown}.",
            "Write the address of an empty or new folder.",
        )


def accept(job: PretrainJob, workplace: Workplace, accept_changes: bool) -> tuple[PretrainJob, Sequence[Change]]:
    """Take the job as the one that this storage runs. Returns and raises what `checked` does, with nothing written then."""
    job, changed = checked(job, workplace, accept_changes)
    workplace.write_job(layout.RUN, job)
    with written_by_user(str(workplace.job_file)):
        temporary = workplace.job_file.with_suffix(".tmp")
        temporary.write_text(job.model_dump_json(by_alias=True, exclude_none=True))
        temporary.replace(workplace.job_file)
    return job, changed


def checked(job: PretrainJob, workplace: Workplace, accept_changes: bool) -> tuple[PretrainJob, Sequence[Change]]:
    """What would be run, and the fields that changed since the last time. Reads only.

    Raises UserError when a setting that defines the run changed and that was not accepted.
    """
    before = workplace.job(layout.RUN)
    recorded = workplace.job(layout.STATUS) if before else None
    changed: Sequence[Change] = []
    if before:
        found = edits.compared(job, before, recorded.status if recorded else PretrainJobStatus())
        refused = [c for c in found.refused if c.path != _PLACE]
        # With a change that makes it another run, that run begins with the weights as they are written.
        differing = changes.changed_fields(before, job) if refused else found.differing
        job = job if refused else found.after
        changed = [c for c in differing if c.path != _PLACE]
    if before and not accept_changes and any(not change.mutable for change in changed):
        again = changes.stages_to_rerun(before, job)
        if _would_lose_work(recorded, again):
            raise UserError(
                "settings-changed",
                "spec",
                f"{workplace.storage.uri()} holds a run with other settings:\n"
                + "".join(f"  {change}\n" for change in changed)
                + f"These stages would run again: {', '.join(again)}.",
                "Write --accept-changes to run them again, or another spec.storage.uri to keep both runs.",
            )
    return job, changed


def _would_lose_work(recorded: PretrainJob | None, again: Sequence[Stage]) -> bool:
    """Whether a stage that has to run again had done something. After a failure, its cause may be mended freely."""
    if recorded is None:
        return False
    entries = [stages.entry(recorded.status, stage) for stage in again]
    has_worked = any(e.fingerprint or (e.name == Stage.TRAIN and e.attempts) for e in entries)
    return recorded.status.state != "Failed" or has_worked
