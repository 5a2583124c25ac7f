"""A real browser without a window, for pages that this project writes."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import websocket
from support.eventually import eventually

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


class Page:
    """A page in a running browser, by the DevTools protocol. Inner frames of the same address are a part of it."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        self._told: list[str] = []
        for domain in ("Runtime", "Log"):
            self._call(f"{domain}.enable")

    def run(self, program: str) -> object:
        """The value of an expression; None where it raises, as on a page that is still being loaded."""
        answer = self._call("Runtime.evaluate", expression=program, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value") if "exceptionDetails" not in answer else None

    def until(self, program: str, value: object) -> None:
        """Wait until an expression has a value."""
        eventually(lambda: self.run(program), lambda found: found == value, 60)

    def problems(self) -> list[str]:
        """Errors and refusals of the content security policy so far."""
        self.run("0")  # what came before its answer is then known
        return self._told

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv())
            if message.get("id") == number:
                return dict(message["result"])
            entry = message.get("params", {}).get("entry") or message.get("params", {}).get("exceptionDetails")
            if entry and entry.get("level", "error") == "error":
                self._told.append(str(entry.get("text")) + str(entry.get("url", "")))


@contextlib.contextmanager
def opened(address: str) -> Iterator[Page]:
    """A page of a browser that runs until the block ends."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--window-size=1300,900", address,
        ]  # fmt: skip
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = eventually(lambda: _debugging_port(Path(profile)), bool, 60)
            place = eventually(lambda: _page_at(port, address), bool, 60)
            connection = websocket.create_connection(place, timeout=60, suppress_origin=True)
            try:
                yield Page(connection)
            finally:
                connection.close()
        finally:
            # Its helpers too: they would write into a folder that is being removed.
            processes = psutil.Process(program.pid).children(recursive=True)
            for process in (program, *processes):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            program.wait()
            psutil.wait_procs(processes, 10)


def _debugging_port(profile: Path) -> int:
    try:
        return int((profile / "DevToolsActivePort").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return 0


def _page_at(port: int, address: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as response:
        found = [page for page in json.load(response) if page["type"] == "page" and page["url"] == address]
    return str(found[0]["webSocketDebuggerUrl"]) if found else ""
