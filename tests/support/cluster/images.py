"""Images into nodes."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from support.cluster.node import Node


def load(nodes: Sequence[Node], source: str | Path) -> None:
    """Bring an image into every node: an archive, or the name of an image that buildah has."""
    if Path(source).exists():
        for node in nodes:
            node.ctr("images", "import", str(source))
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        archive = Path(scratch, "image.tar")
        subprocess.run(["buildah", "push", "--quiet", str(source), f"docker-archive:{archive}:{source}"], check=True)
        load(nodes, archive)
