"""Programs of the trainer that work on this machine with the storage of a job in a cluster, and with its status."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pretrain_api.errors import PretrainError, UserError
from pretrain_api.types.storage import Storage
from pretrain_cli.cluster import job_storage, jobs
from pretrain_cli.cluster.connection import Connection, Json
from pretrain_cli.cluster.known import Known
from pretrain_cli.trainer_program import run

_NEW_STATUS_SECONDS = 2.0


def run_on_storage(connection: Connection, name: str, module: str, options: Sequence[str]) -> int:
    """Run `pretrain_trainer.<module>` with the job's storage, keys and status; gives its exit code.

    Raises UserError where the storage is out of this machine's reach.
    """
    job = jobs.read(connection, name)
    storage = Storage.model_validate(job["spec"]["storage"])
    if not job_storage.is_within_reach(storage):
        what = f"{storage.uri} is a folder of the pods' own volumes, which this machine does not see."
        instead = (
            "Its last stage writes report/index.html there; copy that with `kubectl cp` from a pod that mounts it."
        )
        raise UserError("storage-out-of-reach", "spec.storage.uri", what, instead)
    keys = job_storage.variables(connection, storage)
    place = ("--storage", storage.uri, "--endpoint-url", storage.endpoint_url)
    with tempfile.TemporaryDirectory() as folder, _kept_new(connection, job, Path(folder)) as file:
        return run(module, *place, "--job", str(file), *options, environment=keys)


@contextlib.contextmanager
def _kept_new(connection: Connection, job: Json, folder: Path) -> Iterator[Path]:
    """A file with the job and its status, replaced as the job goes on, for as long as the block lasts."""
    file, done = folder / "job.json", threading.Event()
    known = Known(connection, name=job["metadata"]["name"])
    known.follow()
    _write(file, job)

    def renew() -> None:
        while not done.wait(_NEW_STATUS_SECONDS):
            # What ended the watch ends the news, and not the page; a job that was deleted stays as it was.
            with contextlib.suppress(PretrainError):
                for newest in known.jobs():
                    if newest["metadata"]["uid"] == job["metadata"]["uid"]:
                        _write(file, newest)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield file
    finally:
        done.set()
        thread.join()


def _write(file: Path, job: Json) -> None:
    """Whole or not at all: the program reads it at any time."""
    status = jobs.status(job).model_dump(mode="json", by_alias=True, exclude_none=True)
    fields = {key: job[key] for key in ("apiVersion", "kind", "metadata", "spec")}
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({**fields, "status": status}))
    fresh.replace(file)
