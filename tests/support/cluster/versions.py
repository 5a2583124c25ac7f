"""Which release of each program a cluster runs: what the go.mod files below `tools/` say, and KUBERNETES_VERSION."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from support.cluster.places import CACHE, REPOSITORY

MODULES = REPOSITORY / "tools"


@dataclass(frozen=True)
class Module:
    """Programs that are built together, from one Go module."""

    name: str
    path: str
    """Of the Go module."""
    programs: tuple[str, ...]
    version: str
    pinned: bool
    """Whether the repository has a go.mod for this version."""

    @property
    def folder(self) -> Path:
        """Where its programs are kept."""
        return CACHE / "programs" / f"{self.name}-{self.version}"


def modules() -> list[Module]:
    """Those with programs that Debian does not have, or has too old."""
    return [_module(folder) for folder in sorted(MODULES.iterdir()) if (folder / "go.mod").exists()]


def module_of(program: str) -> Module | None:
    return next((module for module in modules() if program in module.programs), None)


def _module(folder: Path) -> Module:
    text = (folder / "go.mod").read_text()
    commands = re.findall(r"^(?:tool|\t)\s*(\S+/cmd/\S+)$", text, re.MULTILINE)
    path = commands[0].split("/cmd/")[0]
    found = re.search(rf"^(?:require|\t)\s*{re.escape(path)} v(\S+)", text, re.MULTILINE)
    assert found, f"{folder}/go.mod does not require {path}"
    version = found[1]
    wanted = os.environ.get("KUBERNETES_VERSION", "").removeprefix("v") if folder.name == "kubernetes" else ""
    return Module(
        folder.name, path, tuple(command.rpartition("/")[2] for command in commands), wanted or version,
        pinned=wanted in ("", version),
    )  # fmt: skip
