"""Mounts of their own, which nodes and image builds make: not every root may."""

import subprocess

from support.cluster.missing import MissingPart


def require_mounts() -> None:
    """Raises MissingPart in a container without the capability, and in a chroot whose root is not mounted."""
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, text=True)
    if done.returncode:
        raise MissingPart(
            f"mounts cannot be made here ({done.stderr.strip()}): a container needs the capability SYS_ADMIN, a chroot "
            "a root that is mounted, for example by `mount --bind ROOT ROOT` before"
        )
