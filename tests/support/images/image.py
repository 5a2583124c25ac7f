"""A built image: what its configuration says, and the files that its layers are. Building is in `build`."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_KINDS = "application/vnd.oci.image"


@dataclass(frozen=True)
class Image:
    """An image by its identity, the digest of its configuration. Layers are uncompressed, each a file in `blobs`."""

    name: str
    identity: str
    blobs: Path

    def blob(self, digest: str) -> Path:
        return self.blobs / digest

    @cached_property
    def configuration(self) -> bytes:
        return Path(self.blobs, f"{self.identity}.config").read_bytes()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What a container of the image gets: User, Env, Entrypoint, Labels."""
        found: dict[str, Any] = json.loads(self.configuration)["config"]
        return found

    @cached_property
    def layers(self) -> list[str]:
        """Digests of the layers, the base's first."""
        found: list[str] = json.loads(self.configuration)["rootfs"]["diff_ids"]
        return found

    @property
    def size_bytes(self) -> int:
        """All layers unpacked, the base's included."""
        return sum(self.blob(layer).stat().st_size for layer in self.layers)

    @cached_property
    def manifest(self) -> bytes:
        layers = [_descriptor(f"{_KINDS}.layer.v1.tar", each, self.blob(each).stat().st_size) for each in self.layers]
        kind = f"{_KINDS}.manifest.v1+json"
        config = _descriptor(f"{_KINDS}.config.v1+json", self.identity, len(self.configuration))
        return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}).encode()

    def files(self, layer: str) -> Iterator[tarfile.TarInfo]:
        with tarfile.open(self.blob(layer)) as archive:
            yield from archive

    def archive(self, path: Path) -> Path:
        """One file in the format of the Open Container Initiative, which every container engine loads."""
        self.archive_without_layers(path)
        with tarfile.open(path, "a") as archive:
            for layer in self.layers:
                archive.add(self.blob(layer), f"blobs/sha256/{_hex(layer)}")
        return path

    def archive_without_layers(self, path: Path) -> Path:
        """The same for a store that has the layers already."""
        index = {
            "schemaVersion": 2,
            "manifests": [
                _descriptor(f"{_KINDS}.manifest.v1+json", _digest(self.manifest), len(self.manifest))
                | {"annotations": {"io.containerd.image.name": self.name}}
            ],
        }
        content = {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
            f"blobs/sha256/{_hex(_digest(self.manifest))}": self.manifest,
            f"blobs/sha256/{_hex(self.identity)}": self.configuration,
        }
        with tarfile.open(path, "w") as archive:
            for name, data in content.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return path


def _descriptor(kind: str, digest: str, size_bytes: int) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest, "size": size_bytes}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
