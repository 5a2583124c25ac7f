"""Mounts of their own, which nodes and image builds make: not every root may."""

import os
import subprocess
from pathlib import Path

from support.cluster.missing import MissingPart


def require_mounts() -> None:
    """Raises MissingPart in a container without the capability, and in a chroot whose root is not mounted."""
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, text=True)
    if done.returncode:
        raise MissingPart(
            f"mounts cannot be made here ({done.stderr.strip()}): a container needs the capability SYS_ADMIN, a chroot "
            "a root that is mounted, for example by `mount --bind ROOT ROOT` before"
        )


def unmount_below(folder: Path) -> None:
    """Take down whatever is mounted at a folder or below it, even while somebody has a file there open."""
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in reversed([each for each in places if Path(each).is_relative_to(folder)]):
        subprocess.run(["umount", "--lazy", place], check=True)


def require_no_chroot() -> None:
    """Raises MissingPart in a chroot: whatever enters a node's mount namespace would be out of it."""
    command = ["nsenter", "--mount=/proc/self/ns/mnt", "stat", "--format=%d:%i", "/"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    own = os.stat("/")
    if seen != f"{own.st_dev}:{own.st_ino}":
        raise MissingPart(
            "nodes with containers do not run in a chroot: use a machine or a container, or point KUBECONFIG at a cluster"
        )
