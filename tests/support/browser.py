"""A real browser without a window, for pages that this project writes."""

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ITS_OWN = ("google.com", "googleapis.com", "gstatic.com")
"""Hosts that the browser asks on its own account at start, whatever page it shows."""


@dataclass(frozen=True)
class Rendered:
    """A page after its programs have run."""

    dom: str
    console: list[str]
    """Messages, errors and refusals of the content security policy."""
    requests: list[str]
    """Addresses on other machines that were asked for."""


def browser() -> str:
    """The browser's program. Skips the test where there is none, unless in continuous integration."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        message = "no Chromium on this machine: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def render(page: Path, *flags: str) -> Rendered:
    """Load a page and let its programs run for ten seconds of its own clock."""
    with tempfile.TemporaryDirectory() as profile:
        log = Path(profile, "network.json")
        done = subprocess.run(
            [
                browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={profile}", "--virtual-time-budget=10000", "--window-size=1300,3000",
                "--enable-logging=stderr", f"--log-net-log={log}", *flags, "--dump-dom", page.as_uri(),
            ],
            capture_output=True,
            timeout=120,
            check=True,
        )  # fmt: skip
        text = log.read_text()
    try:
        events = json.loads(text)["events"]
    except ValueError:  # the browser may end before it has closed its log
        events = json.loads(text.rstrip().rstrip(",") + "]}")["events"]
    urls = {event["params"]["url"] for event in events if "url" in event.get("params", {})}
    hosts = {url: urlsplit(url).hostname or "" for url in urls if url.startswith(("http:", "https:", "ws:", "wss:"))}
    console = [line for line in done.stderr.decode(errors="replace").splitlines() if ":CONSOLE" in line]
    requests = sorted(url for url, host in hosts.items() if not host.endswith(_ITS_OWN))
    return Rendered(done.stdout.decode(errors="replace"), console, requests)
