"""Leader election by a Lease: at most one operator works. Two that think they lead do no harm: their writes carry the
version that they saw."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from pretrain_api import jitter
from pretrain_api.cluster import MANAGER
from pretrain_operator.bodies.kubernetes.client import LEASES, ApiError, Client, Manifest

DURATION_SECONDS = 6
"""A leader that was not heard for so long is taken to be gone; with the next try of the others, it is replaced in 8 s."""
_RENEW_SECONDS = 1.5
_GIVE_UP_SECONDS = 4.5
"""A leader that could not renew for so long stops before others take over."""
_LOG = logging.getLogger(__name__)


class Leadership:
    """This process's claim to the Lease."""

    def __init__(self, client: Client, namespace: str, identity: str) -> None:
        self._client, self._namespace, self._identity = client, namespace, identity
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = float("-inf")
        self.is_held = False
        """Whether somebody was seen to lead since we look: we, or one that took or renewed the Lease meanwhile. What we
        find at first may be of one that is gone."""

    async def won(self) -> None:
        """Wait until the Lease is ours."""
        while not await self._claimed():  # noqa: ASYNC110 - nobody tells when a Lease runs out
            await asyncio.sleep(_RENEW_SECONDS * jitter.between(0.8, 1.2))
        _LOG.info("leading as %s", self._identity)

    async def lost(self) -> None:
        """Keep the Lease; returns when it could not be kept."""
        clock = asyncio.get_running_loop().time
        renewed = clock()
        while clock() - renewed < _GIVE_UP_SECONDS:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                async with asyncio.timeout(max(0.1, _GIVE_UP_SECONDS - (clock() - renewed))):
                    if await self._claimed():
                        renewed = clock()
                    elif self._seen[0] != self._identity:
                        break
            except TimeoutError:
                break
        _LOG.error("the Lease could not be kept; another operator may lead now")

    async def release(self) -> None:
        """Let another operator take over at once."""
        try:
            lease = await self._client.get(LEASES, self._namespace, MANAGER)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                await self._client.replace(LEASES, self._namespace, MANAGER, lease)
        except ApiError as error:
            _LOG.warning("the Lease was not released: %s", error)

    async def _claimed(self) -> bool:
        """Take or renew the Lease, if it is ours or nobody's."""
        try:
            lease = await self._client.get(LEASES, self._namespace, MANAGER)
        except ApiError as error:
            return error.status == 404 and await self._created()
        spec = lease.get("spec", {})
        holder, renewed = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
        clock = asyncio.get_running_loop().time()
        if (holder, renewed) != self._seen:
            self.is_held = self.is_held or (holder != "" and self._seen_at > float("-inf"))
            self._seen, self._seen_at = (holder, renewed), clock
        is_ours = holder == self._identity
        # Measured from when we saw the change: clocks of two machines may differ.
        if holder and not is_ours and clock - self._seen_at < DURATION_SECONDS:
            return False
        lease["spec"] = {**spec, **self._claim(), "leaseTransitions": spec.get("leaseTransitions", 0) + (not is_ours)}
        if is_ours and spec.get("acquireTime"):
            lease["spec"]["acquireTime"] = spec["acquireTime"]
        return await self._written(lambda: self._client.replace(LEASES, self._namespace, MANAGER, lease))

    async def _created(self) -> bool:
        manifest = {
            "apiVersion": LEASES.group_version,
            "kind": LEASES.kind,
            "metadata": {"name": MANAGER, "namespace": self._namespace},
            "spec": {**self._claim(), "leaseTransitions": 0},
        }
        return await self._written(lambda: self._client.create(LEASES, self._namespace, manifest))

    async def _written(self, write: Callable[[], object]) -> bool:
        try:
            lease: Manifest = await write()  # type: ignore[misc]
        except ApiError as error:
            _LOG.info("Lease: %s", error)
            return False
        clock = asyncio.get_running_loop().time()
        self.is_held = True
        self._seen, self._seen_at = (self._identity, str(lease["spec"].get("renewTime"))), clock
        return True

    def _claim(self) -> Manifest:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_SECONDS,
            "acquireTime": now,
            "renewTime": now,
        }
