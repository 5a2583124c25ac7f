"""What happened to a job as Kubernetes Events, for `kubectl get events` and `kubectl describe`."""

import asyncio
import logging
import uuid
from datetime import UTC, datetime

from pretrain_api.cluster import MANAGER
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.bodies.kubernetes.client import EVENTS, ApiError, Client, Manifest
from pretrain_operator.bodies.kubernetes.limits import Urgency
from pretrain_operator.brain import transitions

_LONGEST_MESSAGE = 1000
_MOST_WAITING = 1000
_LOG = logging.getLogger(__name__)


class EventWriter:
    """Writes events one after the other, behind everything else. What cannot be written is dropped."""

    def __init__(self, client: Client, instance: str) -> None:
        self._client, self._instance = client, instance
        self._waiting: asyncio.Queue[tuple[str, Manifest]] = asyncio.Queue(_MOST_WAITING)

    async def tell(self, job: Manifest, before: PretrainJobStatus, after: PretrainJobStatus) -> None:
        """Queue the events between two recorded statuses of the job. `job`: a reference to it."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for happening in transitions.between(before, after):
            event = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{job['name'][:40]}.{uuid.uuid4().hex[:16]}", "namespace": job["namespace"]},
                "involvedObject": job,
                "type": happening.kind,
                "reason": happening.reason or "Changed",
                "message": happening.message[:_LONGEST_MESSAGE],
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "source": {"component": MANAGER, "host": self._instance},
                "reportingComponent": MANAGER,
                "reportingInstance": self._instance,
            }
            if self._waiting.full():
                _LOG.warning("too many events wait; dropped one of %s", job["name"])
                return
            self._waiting.put_nowait((job["namespace"], event))

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            namespace, event = await self._waiting.get()
            try:
                await self._client.create(EVENTS, namespace, event, Urgency.LAST)
            except ApiError as error:
                _LOG.info("event not written: %s", error)
