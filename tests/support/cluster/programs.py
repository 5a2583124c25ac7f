"""The programs of a cluster: found where someone has put them, or in the cache."""

import os
import shutil
from functools import cache
from pathlib import Path

from support.cluster.missing import MissingPart
from support.cluster.places import CACHE

FROM_DEBIAN = {"etcd": "etcd-server", "openssl": "openssl"}
"""Programs that Debian has in versions that serve -> their package."""


@cache
def find(name: str) -> Path:
    """A program: from KUBEBUILDER_ASSETS, from the cache, or, where Debian's serves, from the machine."""
    folders = [Path(os.environ["KUBEBUILDER_ASSETS"])] if os.environ.get("KUBEBUILDER_ASSETS") else []
    for folder in [*folders, CACHE / "tools"]:
        if os.access(folder / name, os.X_OK):
            return folder / name
    if name in FROM_DEBIAN:
        if found := shutil.which(name):
            return Path(found)
        raise MissingPart(f"{name} is not on this machine: apt-get install {FROM_DEBIAN[name]}")
    raise MissingPart(f"{name} is neither in KUBEBUILDER_ASSETS nor in {CACHE / 'tools'}")
