"""The programs of a cluster, found where someone has put them. Getting those that are missing is for `provide`."""

import os
import shutil
from functools import cache
from pathlib import Path

from support.cluster import debian
from support.cluster.missing import MissingPart
from support.cluster.versions import module_of


@cache
def find(name: str) -> Path:
    """From KUBEBUILDER_ASSETS, from the cache, or, where Debian has it, from the machine."""
    found = look_for(name)
    if found is None:
        raise MissingPart(f"the program {name} is not on this machine; `make cluster-programs` gets it")
    return found


def look_for(name: str) -> Path | None:
    module = module_of(name)
    given = os.environ.get("KUBEBUILDER_ASSETS")
    # Whoever asks for another release than the repository's does not mean the ready-made one.
    if given and (module is None or module.pinned) and _runs(Path(given) / name):
        return Path(given) / name
    if module is not None:
        return module.folder / name if _runs(module.folder / name) else None
    installed = shutil.which(name)
    return Path(installed) if installed and name not in debian.FOR_IMAGES else debian.unpacked(name)


def _runs(path: Path) -> bool:
    return os.access(path, os.X_OK)
