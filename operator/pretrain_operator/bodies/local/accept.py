"""Whether a job may run in its storage: nothing else lies there, and nothing that defines the run changed."""

import importlib.util
import os
from collections.abc import Sequence

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.types import PretrainJob
from pretrain_operator.bodies.local.workplace import Workplace, written_by_user

_NEEDED = ("torch", "transformers", "tokenizers", "pyarrow")
"""Libraries of the extra `trainer`; the stage programs cannot start without them."""


def check_machine(job: PretrainJob) -> None:
    """Raise UserError when this machine cannot run the job at all."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            "trainer-not-installed",
            "pretrain run",
            f"{', '.join(missing)} cannot be imported here.",
            "Install the stage programs: pip install 'pretrain-operator[trainer]'",
        )
    if job.spec.workers.min > 1:
        raise UserError(
            "one-worker-here",
            "spec.workers.min",
            f"{job.spec.workers.min} workers, but this machine is one worker.",
            "Write min: 1, and the number of ranks into spec.workers.processesPerWorker.",
        )


def check_folder(workplace: Workplace) -> None:
    """Raise UserError when the storage holds something that is not a run. Reads only."""
    storage = workplace.storage
    with written_by_user(storage.uri()):
        if storage.is_local and os.path.exists(storage.root) and not os.path.isdir(storage.root):
            raise NotADirectoryError(20, "not a folder", storage.root)
        others = [n for n in storage.names("") if n not in (layout.LOCAL, layout.LOGS)]
        if others and not storage.exists(layout.RUN):
            shown = ", ".join(others[:3]) + (" ..." if len(others) > 3 else "")
            raise UserError(
                "storage-not-empty",
                "spec.storage.uri",
                f"{storage.uri()} holds something that is not a run: {shown}.",
                "Write the address of an empty or new folder.",
            )


def accept(job: PretrainJob, workplace: Workplace, accept_changes: bool) -> Sequence[str]:
    """Take the job as the one that this storage runs. Returns the changes that need nothing to run again.

    Raises UserError, with nothing written, when a setting that defines the run changed and that was not accepted.
    """
    before = workplace.job(layout.RUN)
    lines: list[str] = []
    if before is not None and before.spec != job.spec:
        from pretrain_api import changes

        changed = changes.changed_fields(before, job)
        again = changes.stages_to_rerun(before, job)
        lines = [str(change) for change in changed]
        if again and not accept_changes:
            raise UserError(
                "settings-changed",
                "spec",
                f"{workplace.storage.uri()} holds a run with other settings:\n  "
                + "\n  ".join(lines)
                + f"\nThese stages would run again: {', '.join(again)}.",
                "Write --accept-changes to run them again, or another spec.storage.uri to keep both runs.",
            )
    workplace.write_job(layout.RUN, job)
    with written_by_user(str(workplace.job_file)):
        temporary = workplace.job_file.with_suffix(".tmp")
        temporary.write_text(job.model_dump_json(by_alias=True, exclude_none=True))
        temporary.replace(workplace.job_file)
    return lines
