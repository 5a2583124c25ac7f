"""`pretrain report --serve`: the live page in a real browser, while its run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import opened
from support.cluster.ports import free_port
from support.finished_runs import FinishedRun, record

PRETRAIN = str(Path(sys.executable).parent / "pretrain")


@contextlib.contextmanager
def served(run: FinishedRun, *options: str) -> Iterator[str]:
    """The address of a running server."""
    command = [PRETRAIN, "report", run.storage.root, "--serve", *options]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    try:
        yield program.stdout.readline().strip()
    finally:
        program.send_signal(signal.SIGINT)
        _, error = program.communicate(timeout=30)
    assert (program.returncode, "Traceback" in error) == (130, False), error


def get(address: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_page_follows_its_run_in_a_browser(own_run: FinishedRun) -> None:
    record(own_run, "Training")
    with served(own_run) as address, opened(address) as page:
        page.until("document.querySelector('#said').textContent", "Training, live")
        inside = "document.querySelector('iframe').contentDocument"
        page.until(f"{inside}.querySelector('.badge').textContent", "Training")
        page.until(f"String({inside}.querySelectorAll('.main-svg').length > 0)", "true")
        page.run("document.querySelector('iframe').contentWindow.scrollTo(0, 400)")
        record(own_run, "Succeeded")
        page.until(f"{inside}.querySelector('.badge').textContent", "Succeeded")
        page.until("document.querySelector('#said').textContent", "Succeeded")
        page.until("String(document.querySelector('iframe').contentWindow.scrollY)", "400")
        page.until("String(document.querySelectorAll('iframe').length)", "1")
        assert page.problems() == []


def test_nothing_is_written(own_run: FinishedRun) -> None:
    record(own_run, "Training")
    before = sorted(path for path in Path(own_run.storage.root).rglob("*"))
    with served(own_run) as address:
        status, text = get(f"{address}report")
        assert (status, b"pre-training report" in text) == (200, True)
    assert sorted(path for path in Path(own_run.storage.root).rglob("*")) == before


def test_only_this_machine_is_answered(own_run: FinishedRun) -> None:
    record(own_run, "Training")
    with served(own_run) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        assert get(address, Host="evil.example")[0] == 403
        assert get(f"{address}status.json")[0] == 404


def test_the_version_changes_with_the_state_alone(own_run: FinishedRun) -> None:
    record(own_run, "Training")
    with served(own_run) as address:
        first = json.loads(get(f"{address}version")[1])
        assert json.loads(get(f"{address}version")[1]) == first
        record(own_run, "Evaluating")
        second = json.loads(get(f"{address}version")[1])
    assert (first["state"], second["state"], second["ended"]) == ("Training", "Evaluating", False)
    assert first["version"] != second["version"]


def test_a_port_that_is_taken_is_told(own_run: FinishedRun) -> None:
    record(own_run, "Training")
    port = free_port()
    with served(own_run, "--port", str(port)):
        command = [PRETRAIN, "report", own_run.storage.root, "--serve", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "[port-taken]" in done.stderr) == (2, True)


@pytest.mark.parametrize("words", [["--port", "8000"], ["-n", "research"]])
def test_options_that_do_not_fit_are_told(own_run: FinishedRun, words: list[str]) -> None:
    record(own_run, "Training")
    environment = {**os.environ, "COLUMNS": "200"}
    command = [PRETRAIN, "report", own_run.storage.root, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "goes with --serve" in done.stderr or "go with the NAME" in done.stderr
