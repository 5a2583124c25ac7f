"""Brings a built image into the containerd of a cluster's node, at the cost of hard links where the disk allows it.

The trainer's layers have 6 GB, and copying, reading and unpacking them for every node takes minutes. buildah has each
layer as a file and unpacked; neither ever changes. A node's store gets links to both, through containerd's own commands.
"""

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from support.cluster.cluster import DevelopmentCluster
from support.cluster.foreign import AnyCluster
from support.images.build import state_folder
from support.images.image import Image


class Node(Protocol):
    """What is needed of a node: its folder, with containerd's store in `containerd`, and containerd's own client."""

    folder: Path

    def ctr(self, *arguments: str, check: bool = True, source: int | None = None) -> "subprocess.CompletedProcess[str]":
        """Run `ctr` in the kubelet's namespace, with `source` as its standard input."""
        ...


def bring(image: Image, cluster: AnyCluster) -> str:
    """An image into every node of a cluster; the name that pods ask for."""
    if isinstance(cluster, DevelopmentCluster):
        for node in cluster.nodes:
            load(image, node)
    else:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
            cluster.load_image(image.archive(Path(scratch, "image.tar")))
    return image.name


def load(image: Image, node: Node) -> None:
    """An image into a running node (5 s for one with torch). Only what the node lacks is moved."""
    if image.name in node.ctr("images", "ls", "--quiet").stdout.split():
        return
    with tempfile.TemporaryDirectory() as scratch:
        archive = str(image.archive_without_layers(Path(scratch, "image.tar")))
        # First the image without its layers, which then belong to it: what belongs to nothing may be collected.
        node.ctr("images", "import", "--local", "--no-unpack", archive)
        _add_files_of_layers(image, node)
        _add_unpacked_layers(image, node)
        # Unpacks what is still missing.
        node.ctr("images", "import", "--local", archive)


def _add_files_of_layers(image: Image, node: Node) -> None:
    store = node.folder / "containerd" / "io.containerd.content.v1.content" / "blobs" / "sha256"
    present = node.ctr("content", "ls", "--quiet").stdout.split()
    for layer in image.layers:
        if layer in present:
            continue
        # Another disk, or a part of the layer in place: containerd then copies what it reads.
        with suppress(OSError):
            (store / layer.removeprefix("sha256:")).hardlink_to(image.blob(layer))
        expected = ["--expected-digest", layer, "--expected-size", str(image.blob(layer).stat().st_size)]
        with image.blob(layer).open("rb") as content:
            node.ctr("content", "ingest", *expected, layer, source=content.fileno())


def _add_unpacked_layers(image: Image, node: Node) -> None:
    present = {line.split()[0] for line in node.ctr("snapshots", "ls").stdout.splitlines()}
    parent: list[str] = []
    for chain, files in _unpacked(image):
        if chain not in present:
            being_made = f"links-{chain}"
            node.ctr("snapshots", "prepare", being_made, *parent)
            mount = node.ctr("snapshots", "mounts", "/", being_made).stdout
            (folder,) = re.findall(r"upperdir=([^\s,]+)", mount) or re.findall(r"bind (\S+)", mount)
            if not _link(files, Path(folder)):
                node.ctr("snapshots", "rm", being_made)
                return
            node.ctr("snapshots", "commit", chain, being_made)
        parent = [chain]


def _unpacked(image: Image) -> Iterator[tuple[str, Path]]:
    """Identity of each chain of layers from the base on, and the folder where buildah has the last of them unpacked."""
    storage = state_folder() / "storage"
    known = {
        (layer.get("parent", ""), layer.get("diff-digest")): layer["id"]
        for layer in json.loads((storage / "overlay-layers" / "layers.json").read_text())
    }
    chain = identity = ""
    for layer in image.layers:
        chain = f"sha256:{hashlib.sha256(f'{chain} {layer}'.encode()).hexdigest()}" if chain else layer
        if (identity, layer) not in known:
            return
        identity = known[identity, layer]
        yield chain, storage / "overlay" / identity / "diff"


def _link(source: Path, target: Path) -> bool:
    """Whether the target got everything."""
    # buildah leaves its storage mounted onto itself, and no link leads out of a mount.
    script = 'umount --recursive --lazy "$1" 2>/dev/null || true; cp --archive --link "$2/." "$3/"'
    command = ["unshare", "--mount", "sh", "-ec", script, "sh", source.parent.parent, source, target]
    return subprocess.run(command, capture_output=True).returncode == 0
