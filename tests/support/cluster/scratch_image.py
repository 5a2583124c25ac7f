"""Images without a base: a few files as one layer, written as an archive in the format of the Open Container Initiative."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

USER = "65532:65532"
_APPLETS = (
    "cat cp date dd echo env expr false grep head hostname id ip ls mkdir mv nc ping printf ps rm sed seq sh sleep sort "
    "tail tar tee test touch true uname wc wget whoami"
)


def busybox_image(path: Path, name: str, busybox: Path, command: Sequence[str]) -> Path:
    """An archive of an image with a shell and the usual small programs."""
    links = {f"bin/{applet}": "busybox" for applet in _APPLETS.split()}
    files = {"bin/busybox": busybox.read_bytes(), "etc/passwd": b"nobody:x:65532:65532::/:/bin/sh\n"}
    return scratch_image(path, name, files, links, command)


def scratch_image(
    path: Path, name: str, files: Mapping[str, bytes], links: Mapping[str, str], command: Sequence[str]
) -> Path:
    """The same bytes for the same content."""
    layer = _tar(files, links)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(_machine(), _machine())
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/bin"], "User": USER, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    kinds = "application/vnd.oci.image"
    config_bytes = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kinds}.manifest.v1+json",
        "config": _descriptor(f"{kinds}.config.v1+json", config_bytes),
        "layers": [_descriptor(f"{kinds}.layer.v1.tar", layer)],
    }
    manifest_bytes = json.dumps(manifest).encode()
    entry = _descriptor(f"{kinds}.manifest.v1+json", manifest_bytes)
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "manifests": [{**entry, "annotations": annotations}]}
    blobs = {f"blobs/sha256/{_digest(blob)[7:]}": blob for blob in (layer, config_bytes, manifest_bytes)}
    content = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index).encode(), **blobs}
    path.write_bytes(_tar(content, {}))
    return path


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(member)
    return out.getvalue()


def _descriptor(kind: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _machine() -> str:
    import platform

    return platform.machine()
