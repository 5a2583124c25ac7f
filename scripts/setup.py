"""Makes the environment: `.venv` in the checkout with everything that requirements.lock pins.

Needs nothing but this Python (>= 3.11) and the package index that pip or uv is configured for. Safe to interrupt and
to repeat: what was downloaded stays in uv's cache, and a finished environment is recognised and left alone.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fetch_uv

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
SYSTEM_PACKAGES = {
    "chromium": "chromium",
    "fc-list": "fonts-dejavu-core fontconfig",
    "openssl": "openssl",
    "nsenter": "util-linux",
    # What a node of the development cluster uses.
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "ip": "iproute2",
    # What builds the images.
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}
"""Program that the tests use -> Debian packages that bring it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--with-test-tools", action="store_true", help="also the programs that tests start (as root)")
    options = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - runs before anything else has checked
        sys.exit(
            f"error: Python 3.11 or newer is needed, this is {platform.python_version()}. Set PYTHON=python3.12, say."
        )
    if not is_current():
        set_up()
    if options.with_test_tools:
        install_test_tools()


def identity() -> str:
    """Digest of all that decides what the environment holds."""
    files = [ROOT / "requirements.lock", ROOT / "pyproject.toml", Path(__file__), Path(fetch_uv.__file__)]
    content = b"".join(file.read_bytes() for file in files) + f"{sys.version}{ROOT}".encode()
    return hashlib.sha256(content).hexdigest()


def is_current() -> bool:
    stamp = VENV / "complete"
    return stamp.exists() and stamp.read_text() == identity()


def set_up() -> None:
    packages = len(re.findall(r"^[a-z0-9].*==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    say(f"Setting up {VENV.relative_to(ROOT)} with Python {platform.python_version()}: {packages} pinned packages,")
    say("torch among them. About 3 GB to download and 6 GB of disk; the rest of the machine is left alone.")
    start = time.monotonic()
    (VENV / "complete").unlink(missing_ok=True)
    if not (VENV / "bin" / "python").exists():
        # Without pip: Debian's python3 alone has no ensurepip, and uv does not need it.
        run(sys.executable, "-m", "venv", "--without-pip", str(VENV))
    uv = VENV / "bin" / "uv"
    if not fetch_uv.is_current(uv):
        fetch_uv.fetch(uv)
    # The machine's own certificates: a mirror in a company has one that uv does not bring along.
    python = ["--system-certs", "--python", str(VENV / "bin" / "python")]
    run(str(uv), "pip", "sync", *python, "--require-hashes", "--compile-bytecode", "requirements.lock")
    run(str(uv), "pip", "install", "--quiet", *python, "--no-deps", "--no-build-isolation", "--editable", ".")
    run(str(VENV / "bin" / "python"), "-m", "compileall", "-q", "api", "operator", "trainer", "cli")
    (VENV / "complete").write_text(identity())
    say(f"Set up in {time.monotonic() - start:.0f} s. The command is .venv/bin/pretrain.")


def install_test_tools() -> None:
    """Programs that tests start. As root on Debian they are installed; elsewhere the tests say what they leave out."""
    missing = [packages for program, packages in SYSTEM_PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"Not installed, as this needs root on Debian: {' '.join(missing)}. The tests that use them are skipped.")
        return
    say(f"Installing Debian packages for the tests: {' '.join(missing)}")
    apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Retries=3"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*apt, "update"], env=environment, check=True)
    packages = " ".join(missing).split()
    subprocess.run([*apt, "install", "-y", "--no-install-recommends", *packages], env=environment, check=True)


def run(*command: str) -> None:
    if subprocess.run(command, cwd=ROOT, env={**os.environ, "VIRTUAL_ENV": str(VENV)}).returncode:
        sys.exit(f"error: `{' '.join(command)}` failed. Run the same command again: it goes on where it was.")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
