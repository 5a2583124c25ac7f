"""Programs of the trainer end with the command that started them, however early it ends."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from support.eventually import eventually
from support.tars import captioned

_WAITS = """
import os, sys
if "pretrain_trainer.indexing" in sys.orig_argv:
    open(os.environ["STARTED"], "w").close()
    open(os.environ["GATE"]).close()  # a pipe: until somebody opens its other end
"""
"""As the module that Python imports first: the program stands before its first line, where its libraries take a second."""


def test_a_program_whose_command_was_killed_before_it_had_loaded_does_nothing(tmp_path: Path) -> None:
    tars, gate, started = captioned(tmp_path / "tars", shards=1), tmp_path / "gate", tmp_path / "started"
    os.mkfifo(gate)
    (tmp_path / "sitecustomize.py").write_text(_WAITS)
    own = {**os.environ, "PYTHONPATH": str(tmp_path), "GATE": str(gate), "STARTED": str(started)}
    code = f"from pretrain_cli.trainer_program import run; run('indexing', '--processes', '1', {str(tars)!r})"
    with subprocess.Popen([sys.executable, "-c", code], env=own) as command:
        try:
            eventually(started.exists)
            (program,) = psutil.Process(command.pid).children()
        finally:
            command.kill()
    assert program.is_running()
    with gate.open("w"):
        program.wait(timeout=60)
    assert sorted(path.name for path in tars.iterdir()) == ["000000.tar"]
