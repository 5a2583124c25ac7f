"""The folders and files of a local run: lock, accepted job, status, logs, and a folder for each attempt.

Everything lies in the run's storage when that is a local folder, so a removed folder is a run that never was. For
other storage the machine's part lies in the user's state folder.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from pretrain_api import layout, os_faults
from pretrain_api.errors import UserError
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_operator.bodies.local.processes import ProcessIdentity


class Workplace:
    """Where a local run keeps its things. Opening one changes nothing."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        if storage.is_local:
            self.root = Path(storage.path(layout.LOCAL))
            self.logs = Path(storage.path(layout.LOGS))
        else:
            state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
            self.root = state / "pretrain" / hashlib.sha256(storage.uri().encode()).hexdigest()[:16]
            self.logs = self.root / "logs"

    @property
    def job_file(self) -> Path:
        """The job as the stage programs read it."""
        return self.root / "job.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    def log(self, stage: Stage, worker: int | None = None) -> Path:
        """The log of a stage, or of one of several workers that train; all attempts one after the other."""
        return self.logs / f"{_named(stage.value.lower(), worker)}.log"

    def logs_of(self, stage: Stage) -> list[Path]:
        """The logs that a stage has, of its workers in their order."""
        own = self.log(stage)
        several = self.logs.glob(f"{own.stem}-w*.log")
        return [*([own] if own.exists() else ()), *sorted(several, key=lambda path: (len(path.name), path.name))]

    @property
    def metrics(self) -> Path:
        """Where ranks write their figures for Prometheus."""
        return self.root / "metrics"

    def attempt(self, stage: Stage, attempt: int, worker: int | None = None) -> Path:
        """The folder with the events and the outcome of an attempt, or of one of its several workers."""
        return self.root / "attempts" / _named(f"{stage.value.lower()}-{attempt}", worker)

    def job(self, relative: str) -> PretrainJob | None:
        """The job in run.json or status.json; None when there is no such file."""
        with written_by_user(self.storage.uri(relative)), reached(self.storage):
            try:
                content = self.storage.read_bytes(relative)
            except FileNotFoundError:
                return None
        try:
            return PretrainJob.model_validate(json.loads(content))
        except (ValidationError, ValueError) as error:
            raise UserError(
                "run-unreadable",
                self.storage.uri(relative),
                f"it is not a job that this version wrote ({str(error).splitlines()[0]}).",
                "Remove that file to go on (completed stages are found again), or write another spec.storage.uri.",
            ) from None

    def write_job(self, relative: str, job: PretrainJob) -> None:
        with written_by_user(self.storage.uri(relative)):
            self.storage.write_json(relative, job.model_dump(mode="json", by_alias=True, exclude_none=True))

    def read_processes(self) -> list[ProcessIdentity]:
        """The programs that an earlier run started and may have left behind."""
        try:
            return [ProcessIdentity(**p) for p in json.loads((self.root / "processes.json").read_text())]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def write_processes(self, running: list[ProcessIdentity]) -> None:
        content = json.dumps([vars(p) for p in running])
        with written_by_user(str(self.root)):
            temporary = self.root / "processes.json.tmp"
            temporary.write_text(content)
            temporary.replace(self.root / "processes.json")

    def clear_attempts(self) -> None:
        """Remove what earlier runs' programs said; their results are in storage."""
        shutil.rmtree(self.root / "attempts", ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The right to run this job, held until the block or the process ends. Raises UserError when another has it."""
        with written_by_user(str(self.root)):
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except FileNotFoundError as error:  # parents are made too, so this is a file system without new folders
                raise NotADirectoryError(errno.ENOTDIR, "no folder can be made", error.filename) from None
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
                raise UserError(
                    "already-running",
                    "spec.storage.uri",
                    f"process {pid} already runs a job in {self.storage.uri()}.",
                    f"Wait for it, stop it with `kill {pid}`, or write another spec.storage.uri.",
                ) from None
            with written_by_user(str(self.root)):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def runner(self) -> int:
        """Number of the process on this machine that runs the job now; 0 when none does."""
        try:
            with open(self.lock_file, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return 0
        except BlockingIOError:
            return int(self.lock_file.read_text().strip() or 0)
        except FileNotFoundError:
            return 0

    def is_there(self) -> bool:
        """Whether the folder of this run still stands; somebody may have removed it."""
        return self.lock_file.exists()


def _named(name: str, worker: int | None) -> str:
    return name if worker is None else f"{name}-w{worker}"


@contextlib.contextmanager
def written_by_user(where: str) -> Iterator[None]:
    """Turns the errors of a place that cannot be written into what its user can do about them."""
    try:
        yield
    except OSError as error:
        if found := os_faults.explained(error, where):
            raise found from None
        place = str(error.filename or where)
        match error.errno:
            case errno.ELOOP | errno.ENAMETOOLONG:
                raise UserError(
                    "storage-not-a-folder",
                    place,
                    f"{os.strerror(error.errno)}.",
                    "Write the path of a folder; it is created when it does not exist.",
                ) from None
            case errno.ENOTDIR | errno.EEXIST:
                raise UserError(
                    "storage-not-a-folder",
                    place,
                    "spec.storage.uri leads to or through a file.",
                    "Write the path of a folder; it is created when it does not exist.",
                ) from None
        raise


@contextlib.contextmanager
def reached(storage: Storage) -> Iterator[None]:
    """Turns what a store's client raises at the first contact into what its user can do about it."""
    try:
        yield
    except FileNotFoundError as error:
        if storage.is_local:
            raise
        what, instead = f"{storage.uri()}: {error}", "Make the bucket, or write the address of one that exists."
        raise UserError("storage-missing", "spec.storage.uri", what, instead) from None
    except Exception as error:
        if storage.is_local:
            raise
        # Every store's client has its own tree of errors; only the names say which kind one is.
        if "Credential" in type(error).__name__ or isinstance(error, PermissionError):
            instead = "Give credentials in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            raise UserError("no-credentials", "spec.storage.uri", f"{storage.uri()}: {error}.", instead) from None
        instead = "Check the address, spec.storage.endpointUrl and the network, then run the job again."
        raise UserError("unreachable", "spec.storage.uri", f"{storage.uri()}: {error}.", instead) from None
