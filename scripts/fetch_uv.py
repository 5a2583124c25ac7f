"""Takes the pinned uv out of its wheel on the configured package index: into the environment, or into an image's build.

Needs nothing but this Python (>= 3.11). Nothing is installed here.
"""

import configparser
import hashlib
import io
import os
import platform
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

UV_VERSION = "0.13.9"
UV_WHEELS = {
    "x86_64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ),
    "aarch64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
}


def is_current(uv: Path) -> bool:
    if not uv.exists():
        return False
    return subprocess.run([uv, "--version"], capture_output=True, text=True).stdout.split()[1:2] == [UV_VERSION]


def fetch(target: Path) -> None:
    """Take uv's program out of its wheel. It does the rest: several downloads at once, hashes checked, resumable."""
    machine = platform.machine()
    if machine not in UV_WHEELS or platform.system() != "Linux":
        sys.exit(f"error: no pinned uv for {platform.system()} on {machine}. Install uv {UV_VERSION} as {target}.")
    name, sha256 = UV_WHEELS[machine]
    print(f"Fetching uv {UV_VERSION}", flush=True)
    index = package_index().rstrip("/") + "/uv/"
    page = download(index).decode()
    link = re.search(rf'href="([^"]*{re.escape(name)}[^"]*)"', page)
    if not link:
        sys.exit(f"error: the package index has no {name}. Is it a full mirror of PyPI?")
    wheel = download(urllib.parse.urljoin(index, link.group(1).replace("&amp;", "&")))
    if hashlib.sha256(wheel).hexdigest() != sha256:
        sys.exit(f"error: {name} from the package index has another SHA-256 than the pinned {sha256}.")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        program = archive.read(f"uv-{UV_VERSION}.data/scripts/uv")
    temporary = target.with_suffix(".tmp")
    temporary.write_bytes(program)
    temporary.chmod(0o755)
    temporary.replace(target)


def package_index() -> str:
    """The index that uv or pip is configured for, else PyPI."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(variable):
            return os.environ[variable]
    config = configparser.ConfigParser(interpolation=None)
    config.read([os.environ.get("PIP_CONFIG_FILE", ""), "/etc/pip.conf", Path.home() / ".config/pip/pip.conf"])
    return config.get("global", "index-url", fallback=urllib.parse.urlunsplit(("https", "pypi.org", "/simple", "", "")))


def download(url: str) -> bytes:
    for attempt in range(4):
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                return response.read()
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                sys.exit(f"error: the package index answers {error.code} for {urllib.parse.urlsplit(url).path}")
            if attempt == 3:
                sys.exit(f"error: the package index cannot be reached: {error}. Run the same command again later.")
            time.sleep(2**attempt)  # noqa: TID251 - nothing to wait on but time
    raise AssertionError("unreachable")


if __name__ == "__main__":
    if not is_current(Path(sys.argv[1])):
        fetch(Path(sys.argv[1]))
