"""`pretrain top` on a real API server: into a pipe, and live in a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import yaml
from support.command_place import CommandPlace
from support.eventually import eventually
from support.local_runs import PRETRAIN

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PROGRESS = {"step": 3, "totalSteps": 9, "loss": "2.5", "tokensPerSecond": 1500}


class Terminal:
    """A program in a terminal of 160 x 30 characters."""

    def __init__(self, *command: str, environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 160, 0, 0))
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self._text = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the program has ended
            while data := os.read(self._ours, 1 << 16):
                self._text += data.decode("utf-8", "replace")

    def shows(self, *words: str) -> str:
        """Wait until the newest picture has these words; gives the picture."""

        def picture() -> str:
            return _CONTROL.sub("", self._text.rpartition("\x1b[H")[2])

        return eventually(picture, lambda text: all(word in text for word in words), 30)

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._ours)


@contextlib.contextmanager
def terminal(place: CommandPlace, *arguments: str) -> Iterator[Terminal]:
    environment = {**os.environ, "KUBECONFIG": str(place.kubeconfig), "TERM": "xterm-256color"}
    opened = Terminal(PRETRAIN, *arguments, environment=environment)
    try:
        yield opened
    finally:
        opened.close()


def test_for_programs_it_prints_json_and_yaml(place: CommandPlace) -> None:
    assert json.loads(place.run("top", "-o", "json").out)["jobs"] == []
    place.submitted("gpt")
    place.status("gpt", state="Training", progress=PROGRESS)
    [job] = json.loads(place.run("top", "-o", "json").out)["jobs"]
    assert (job["name"], job["progress"], job["tokensPerSecond"]) == ("gpt", "3/9", 1500)
    [same] = yaml.safe_load(place.run("top", "-o", "yaml").out)["jobs"]
    assert {**same, "ageSeconds": 0} == {**job, "ageSeconds": 0}


def test_in_a_pipe_it_prints_one_table(place: CommandPlace) -> None:
    place.submitted("gpt", "bert")
    place.status("gpt", state="Training", progress=PROGRESS, world={"workers": 2, "ready": 2})
    printed = place.run("top", "--sort-by", "name")
    assert printed.code == 0
    head, columns, *rows = printed.out.splitlines()
    assert head.startswith("2 jobs (")
    assert columns.split()[:4] == ["NAME", "STATE", "DONE", "PROGRESS"]
    assert [row.split()[0] for row in rows] == ["bert", "gpt"]
    assert re.search(r"Training .* 3/9 +2\.5 +1500 tokens/s +2/2", rows[1])
    assert "\x1b" not in printed.out


def test_an_empty_namespace_is_said_on_standard_error(place: CommandPlace) -> None:
    printed = place.run("top", "--once")
    assert (printed.code, printed.out) == (0, "")
    assert f"No PretrainJobs in namespace {place.namespace}." in printed.err


def test_of_all_namespaces_and_labels(place: CommandPlace) -> None:
    place.submitted("gpt")
    printed = place.run("top", "-A")
    assert place.namespace in printed.out
    assert place.run("top", "-l", "team=other").out == ""


def test_in_a_terminal_it_follows_the_jobs_until_q(place: CommandPlace, tmp_path: Path) -> None:
    place.submitted("aaa", "zzz")
    place.status("zzz", state="Training", progress=PROGRESS)
    with terminal(place, "top") as screen:
        screen.shows("2 jobs", "q:quit", "by state")
        place.status("aaa", state="Training", progress={**PROGRESS, "step": 8, "tokensPerSecond": 9999})
        screen.shows("2 Training", "8/9")
        screen.press("t")
        picture = screen.shows("by tokens, fastest first")
        assert picture.index("aaa") < picture.index("zzz")
        screen.press("r")
        picture = screen.shows("by tokens, fastest last")
        assert picture.index("zzz") < picture.index("aaa")
        place.delete("job", "aaa")
        screen.shows("1 job (1 Training)")
        screen.press("q")
        assert screen.process.wait(30) == 0


def test_a_cluster_that_does_not_answer_is_one_message_and_the_terminal_is_left_as_it_was(place: CommandPlace) -> None:
    content = json.loads(place.kubeconfig.read_text())
    content["clusters"][0]["cluster"] = {"server": "http://127.0.0.1:1"}
    place.kubeconfig.write_text(json.dumps(content))
    with terminal(place, "top") as screen:
        screen.shows("[cluster-unreachable]")
        assert screen.process.wait(30) == 2
