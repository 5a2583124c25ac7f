"""A manifest.json at an address, of either kind, with what tells that it is still the same one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pretrain_api import manifests
from pretrain_api.samples import SampleManifest
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.documents.faults import reading


@dataclass(frozen=True)
class ManifestFile:
    """What was read."""

    uri: str
    storage: Storage
    """Its folder."""
    sha256: str
    manifest: Manifest | SampleManifest


def read(uri: str, endpoint_url: str, where: str = "") -> ManifestFile:
    """The manifest at an address; `where` is the field that names it, if one does. UserError where it cannot be read."""
    folder, _, name = uri.rpartition("/")
    with reading(where or uri, uri):
        storage = Storage(folder or ".", endpoint_url)
        content = storage.read_bytes(name)
    manifest = manifests.parse(content, f"{where}: {uri}" if where else uri)
    return ManifestFile(uri, storage, hashlib.sha256(content).hexdigest(), manifest)
