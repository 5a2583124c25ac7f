"""Which jobs name the same storage, as they were last seen. Bookkeeping; whose turn it is, the brain says."""

from collections.abc import Container

from pretrain_operator.bodies.kubernetes.informer import Key
from pretrain_operator.brain.observed import Tenant


class Neighbours:
    """All jobs by the place of their storage."""

    def __init__(self) -> None:
        self._places: dict[Key, str] = {}
        self._tenants: dict[str, dict[Key, Tenant]] = {}

    def show(self, key: Key, place: str, tenant: Tenant | None) -> None:
        """Take in where a job works or wants to; None: it leaves the place to others. Empty: it has no place yet."""
        self.forget(key)
        self._places[key] = place
        if place and tenant:
            self._tenants.setdefault(place, {})[key] = tenant

    def forget(self, key: Key) -> None:
        """A job is gone."""
        place = self._places.pop(key, "")
        if here := self._tenants.get(place):
            here.pop(key, None)
            if not here:
                del self._tenants[place]

    def keep(self, known: Container[Key]) -> None:
        """Forget all others."""
        for key in [key for key in self._places if key not in known]:
            self.forget(key)

    def of(self, key: Key) -> tuple[Tenant, ...]:
        """Everybody who may work in a job's place."""
        return tuple(self._tenants.get(self._places.get(key, ""), {}).values())
