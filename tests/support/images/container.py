"""Runs a program of an image as the strictest Pod Security lets it: no capability, nothing to write but /tmp."""

import json
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from support.cluster.missing import MissingPart
from support.images.build import root_file_system
from support.images.image import Image


def run(image: Image, *command: str) -> "subprocess.CompletedProcess[str]":
    """The program's exit code and output. User, variables and folder are the image's own."""
    if not shutil.which("runc"):
        raise MissingPart("runc is not on this machine: apt-get install --no-install-recommends runc")
    with root_file_system(image) as root, tempfile.TemporaryDirectory() as bundle:
        Path(bundle, "config.json").write_text(json.dumps(_specification(image, root, command)))
        container = f"pretrain-image-{secrets.token_hex(4)}"
        return subprocess.run(
            ["runc", "run", "--bundle", bundle, container],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        )  # fmt: skip


def _specification(image: Image, root: Path, command: tuple[str, ...]) -> dict[str, Any]:
    user, group = map(int, image.settings["User"].split(":"))
    none: list[str] = []
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "user": {"uid": user, "gid": group},
            "args": list(command),
            "env": image.settings["Env"],
            "cwd": image.settings.get("WorkingDir") or "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted", "ambient"), none),
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }
