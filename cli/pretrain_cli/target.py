"""Which run a command is about: a job file, or the address of the run's storage."""

import os
from collections.abc import Sequence

import click

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.storage import given
from pretrain_api.types import PretrainJob
from pretrain_operator.bodies.local.workplace import Workplace


def workplace(target: str, sets: Sequence[str]) -> Workplace:
    """The place of the run that a job file or a storage address names."""
    if job := given_job(target, sets):
        return Workplace(given(job.spec.storage.uri, job.spec.storage.endpoint_url))
    if sets:
        raise click.UsageError("--set goes with a job file.")
    return Workplace(given(target))


def given_job(target: str, sets: Sequence[str]) -> PretrainJob | None:
    """The job in the file that the target names; None where it is an address."""
    if target == "-" or target.endswith((".yaml", ".yml", ".json")) or os.path.isfile(target):
        from pretrain_api.parse import load

        return load(target, sets)
    return None


def data_address(target: str, sets: Sequence[str], endpoint: str) -> tuple[str, str]:
    """Address and S3 server of the shards or the run that a command is about: a manifest.json, a folder, or a job file."""
    if os.path.basename(target) == layout.MANIFEST:
        return target, endpoint
    place = workplace(target, sets)
    return place.storage.uri(), endpoint or endpoint_url(place)


def endpoint_url(place: Workplace) -> str:
    """The server of the run's storage: as the job file says, else as the run recorded it; empty where neither does."""
    if place.storage.endpoint_url:
        return place.storage.endpoint_url
    job = _recorded(place)
    return job.spec.storage.endpoint_url if job else ""


def recorded_job(place: Workplace) -> PretrainJob:
    """The job with its recorded status. Raises UserError when nothing was run there."""
    job = _recorded(place)
    if job is None:
        raise UserError(
            "no-run",
            place.storage.uri(),
            "no job has run here.",
            "Give the job file or the spec.storage.uri of a run, or start it with `pretrain run`; "
            "`pretrain describe NAME` shows a job in the cluster.",
        )
    return job


def _recorded(place: Workplace) -> PretrainJob | None:
    """None when nothing was run there."""
    try:
        return place.job(layout.STATUS)
    except IsADirectoryError:
        where, what = place.storage.uri(layout.STATUS), "it is a folder, where a run has its state."
        raise UserError("run-unreadable", where, what, "Give the folder of a run, or move that one away.") from None
