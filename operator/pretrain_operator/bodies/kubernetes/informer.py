"""What is known of one kind of object: a list, then a watch that keeps it current, grouped by PretrainJob.

Values are parsed once, on arrival, and only what the body reads is kept. No decisions here.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Generic

import msgspec

from pretrain_api import jitter
from pretrain_operator.bodies.kubernetes.client import ApiError, Client, Manifest, Resource
from pretrain_operator.bodies.kubernetes.manifests import Metadata, Object
from pretrain_operator.bodies.kubernetes.seen import Kind, Value

_PAGE = "500"
_WATCH_SECONDS = 300
_LONGEST_PAUSE_SECONDS = 15.0
_BOOKMARKS = msgspec.json.Decoder(Object)
"""A bookmark says how far the stream has come, and nothing else in it counts."""
_LOG = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of a PretrainJob; of what belongs to none, its own."""


class Informer(Generic[Value]):
    """The children of one kind, in the given namespaces or in all; of a kind without a job, all objects."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespaces: Sequence[str],
        kind: Kind[Value],
        on_change: Callable[[Key], None],
    ) -> None:
        self._client, self._resource, self._on_change = client, resource, on_change
        self._kind: Kind[Value] = kind
        self._objects = msgspec.json.Decoder(kind.content)
        self._namespaces = list(namespaces) or [""]
        self._selector = {"labelSelector": kind.label} if kind.label else {}
        self._groups: dict[Key, dict[str, Value]] = {}
        self._synced = {namespace: asyncio.Event() for namespace in self._namespaces}
        self._heard: dict[str, float] = {}

    def of(self, key: Key) -> Mapping[str, Value]:
        """The children of a job by name."""
        return self._groups.get(key, {})

    def count(self) -> int:
        return sum(len(group) for group in self._groups.values())

    async def synced(self) -> None:
        """Wait until everything that exists is known."""
        for event in self._synced.values():
            await event.wait()

    def silence_seconds(self) -> float:
        """Seconds since the API server was last heard, where it is longest ago."""
        now = asyncio.get_running_loop().time()
        return max((now - heard for heard in self._heard.values()), default=0.0)

    def add(self, manifest: Manifest) -> None:
        """Take in an object that somebody else has read or made, unless the watch was faster."""
        found = msgspec.convert(manifest, self._kind.content)
        if key := self._key(found.metadata):
            value, group = self._kind.reduced(found), self._groups.setdefault(key, {})
            if value.name not in group or group[value.name].uid != value.uid:
                group[value.name] = value
                self._on_change(key)

    def forget(self, key: Key, name: str, uid: str) -> None:
        """Take out an object that somebody else has found gone."""
        group = self._groups.get(key, {})
        if name in group and group[name].uid == uid:
            del group[name]

    async def run(self) -> None:
        """Follow all namespaces until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for namespace in self._namespaces:
                tasks.create_task(self._follow(namespace))

    async def _follow(self, namespace: str) -> None:
        version, faults = "", 0
        self._hear(namespace)
        while True:
            try:
                if not version:
                    version = await self._list(namespace)
                    self._synced[namespace].set()
                version = await self._watch(namespace, version)
                faults = 0
            except ApiError as error:
                if error.status == 410:  # the history that we know ends is gone: read everything again
                    _LOG.info("reading all %s again: %s", self._resource.plural, error.message)
                    version = ""
                    continue
                faults += 1
                pause = _pause(faults)
                _LOG.warning("watch of %s: %s; again in %.1f s", self._resource.plural, error, pause)
                await asyncio.sleep(pause)
            except Exception:  # noqa: BLE001 - a border
                # What could not be read is not known: without this the operator would go on with an old picture.
                version, faults = "", faults + 1
                pause = _pause(faults)
                _LOG.exception("%s cannot be read; this is a defect; again in %.1f s", self._resource.plural, pause)
                await asyncio.sleep(pause)

    async def _list(self, namespace: str) -> str:
        found: dict[Key, dict[str, Value]] = {}
        query = {**self._selector, "limit": _PAGE}
        while True:
            page = await self._client.page_of(self._kind.content, self._resource, namespace, **query)
            for item in page.items:
                if key := self._key(item.metadata):
                    value = self._kind.reduced(item)
                    found.setdefault(key, {})[value.name] = value
            self._hear(namespace)
            if not page.metadata.following:
                break
            query["continue"] = page.metadata.following
        before = {key for key in self._groups if not namespace or key[0] == namespace}
        for key in before - set(found):
            del self._groups[key]
        self._groups.update(found)
        for key in before | set(found):
            self._on_change(key)
        return page.metadata.resource_version

    async def _watch(self, namespace: str, version: str) -> str:
        """Follow one stream to its end; gives the place to go on from."""
        seconds = str(round(_WATCH_SECONDS * jitter.between(0.8, 1.2)))
        query = {**self._selector, "resourceVersion": version, "timeoutSeconds": seconds}
        try:
            async with contextlib.aclosing(self._client.watch(self._resource, namespace, **query)) as events:
                async for event in events:
                    self._hear(namespace)
                    if event.type == "BOOKMARK":
                        version = _BOOKMARKS.decode(event.object).metadata.resource_version
                        continue
                    found = self._objects.decode(event.object)
                    version = found.metadata.resource_version
                    self._take(event.type, found)
        except ApiError as error:
            if error.status == 410:
                raise
            _LOG.debug("watch of %s ended: %s", self._resource.plural, error)
            if error.status:
                raise
            await asyncio.sleep(jitter.between(0, 1))  # cut off: go on from where it was
        return version

    def _take(self, kind: str, found: Object) -> None:
        key = self._key(found.metadata)
        if key is None:
            return
        if kind == "DELETED":
            group = self._groups.get(key, {})
            group.pop(found.metadata.name, None)
            if not group:
                self._groups.pop(key, None)
        else:
            value, group = self._kind.reduced(found), self._groups.setdefault(key, {})
            if group.get(value.name) == value:
                return  # our own write comes back, or something changed that nobody reads
            group[value.name] = value
        self._on_change(key)

    def _hear(self, namespace: str) -> None:
        self._heard[namespace] = asyncio.get_running_loop().time()

    def _key(self, metadata: Metadata) -> Key | None:
        if not self._kind.label:
            return metadata.namespace, metadata.name
        job = metadata.labels.get(self._kind.label)
        return (metadata.namespace, job) if job else None


def _pause(faults: int) -> float:
    return jitter.between(0, min(_LONGEST_PAUSE_SECONDS, 0.2 * 2**faults))
