"""Children made and ended: each act may be repeated, "exists already" and "already gone" are success."""

import asyncio
from collections.abc import Iterable

from pretrain_api.errors import PretrainError
from pretrain_operator.bodies.kubernetes.client import ApiError, Client, Manifest, Resource


class ForeignObject(PretrainError):
    """An object of the child's name belongs to somebody else."""

    def __init__(self, resource: Resource, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        self.kind, self.name = resource.kind, str(metadata["name"])
        self.is_leaving = "deletionTimestamp" in metadata
        super().__init__(f"{self.kind} {self.name} exists and does not belong to this job.")


async def ensured(client: Client, resource: Resource, manifest: Manifest) -> Manifest:
    """The child as it should be, made or brought back to it. Raises ForeignObject when somebody else's is there.

    Server-side apply alone would take over an object that happens to have the name.
    """
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    try:
        return await client.create(resource, namespace, manifest)
    except ApiError as error:
        if not error.is_conflict:
            raise
    _check_owner(resource, manifest, await client.get(resource, namespace, name))
    return await client.apply(resource, namespace, manifest)


async def made(client: Client, resource: Resource, manifest: Manifest) -> Manifest:
    """The child, made unless it exists. For objects that never change."""
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    try:
        return await client.create(resource, namespace, manifest)
    except ApiError as error:
        if not error.is_conflict:
            raise
    found = await client.get(resource, namespace, name)
    _check_owner(resource, manifest, found)
    return found


async def gathered(tasks: Iterable[object]) -> list[object]:
    """Everything done that can be, at once; then the first error, if there was one."""
    results = await asyncio.gather(*tasks, return_exceptions=True)  # type: ignore[call-overload]
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return list(results)


def _check_owner(resource: Resource, wanted: Manifest, found: Manifest) -> None:
    uid = wanted["metadata"]["ownerReferences"][0]["uid"]
    if not any(owner["uid"] == uid for owner in found["metadata"].get("ownerReferences", [])):
        raise ForeignObject(resource, found)
