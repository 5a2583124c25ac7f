"""Programs out of Debian's packages that are unpacked, not installed: an installed server would start as a service."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support.cluster.missing import MissingPart
from support.cluster.places import CACHE

PACKAGES = {
    "etcd": ("etcd-server", "usr/bin/etcd"),
    "prometheus": ("prometheus", "usr/bin/prometheus"),
    "promtool": ("prometheus", "usr/bin/promtool"),
    "busybox": ("busybox-static", "bin/busybox"),
    "libfaketime": ("libfaketime", "usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
}
"""Program, or library -> its package, and where in the package it is."""
FOR_IMAGES = ("busybox",)
"""Programs that must need no library, which the machine's own of that name may."""
FOLDER = CACHE / "debian"


def unpacked(name: str) -> Path | None:
    """A program of a package that was fetched."""
    path = FOLDER / PACKAGES[name][1] if name in PACKAGES else None
    return path if path and path.exists() else None


def fetch(name: str) -> None:
    """Get the package of a program with the machine's own apt; needs no root where its lists are fresh."""
    if not shutil.which("apt-get"):
        raise MissingPart(f"{name} is not on this machine, and without apt-get it has to be installed by hand")
    package = PACKAGES[name][0]
    with tempfile.TemporaryDirectory() as scratch:
        # apt's own user, which downloads, must be able to write here.
        Path(scratch).chmod(0o777)
        done = _apt("download", package, folder=scratch)
        if done.returncode and os.geteuid() == 0:
            _apt("update", folder=scratch)
            done = _apt("download", package, folder=scratch)
        if done.returncode:
            raise MissingPart(f"apt-get download {package} failed; is `apt-get update` due? {done.stderr.strip()}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        for archive in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, FOLDER], check=True)


def _apt(*arguments: str, folder: str) -> "subprocess.CompletedProcess[str]":
    command = ["apt-get", "-qq", "-o", "Acquire::Retries=3", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
