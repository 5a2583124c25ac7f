"""Whose turn it is in a storage that several jobs name. One folder holds one run, so one job works and the others wait.

What a job finds complete in the folder when its turn comes, it skips.
"""

import json
from dataclasses import replace
from datetime import datetime

from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.brain import conditions, lifecycle
from pretrain_operator.brain.observed import Observed, Tenant, Trouble

_IDLE = ("Pending", "Suspended")


def place(spec: PretrainJobSpec, namespace: str) -> str:
    """Identity of a job's folder. A path means something else with other volumes."""
    uri = spec.storage.uri.rstrip("/")
    if "://" in uri and not uri.startswith("file://"):
        return f"{spec.storage.endpoint_url} {uri}"
    template = spec.workers.template
    return json.dumps([namespace, uri.removeprefix("file://"), template.volumes, template.volume_mounts])


def tenant(name: str, uid: str, created: datetime, is_deleted: bool, recorded: PretrainJobStatus) -> Tenant | None:
    """The job as its neighbours see it; None when it leaves the folder to them."""
    is_at_work = recorded.state not in _IDLE
    if recorded.state in (*lifecycle.TERMINAL, "Suspended") or (is_deleted and not is_at_work):
        return None
    return Tenant(name, uid, created, is_at_work)


def in_the_way(observed: Observed) -> Tenant | None:
    """The job that works in the folder or comes first in it; None when this one may."""
    first = min(observed.tenants, key=lambda t: (not t.is_at_work, t.created, t.uid), default=None)
    return None if first is None or first.uid == observed.uid else first


def told(spec: PretrainJobSpec, observed: Observed) -> Observed:
    """With the trouble that somebody else is in the folder."""
    other = in_the_way(observed)
    if other is None:
        return observed
    message = (
        f"{spec.storage.uri} is in use by PretrainJob {other.name}. Write another address in spec.storage.uri, or wait: "
        "this job goes on once that one has ended, is suspended or deleted."
    )
    return replace(observed, troubles=(Trouble(conditions.STORAGE_IN_USE, message), *observed.troubles))
