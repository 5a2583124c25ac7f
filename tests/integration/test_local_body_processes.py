"""Processes of the local body: they die with their parent, are told from others, and are ended as a whole tree."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from support.eventually import eventually
from support.jobs import a_job

from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.bodies.local import processes
from pretrain_operator.bodies.local.body import LocalBody
from pretrain_operator.bodies.local.workplace import Workplace

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""

LATE_RANK = """
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
from pretrain_trainer.process import die_with_parent
die_with_parent()
signal.pause()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process with a child in a session of its own, as a stage program has."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_end_takes_the_whole_tree(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    found = processes.identity(parent.pid)
    assert found is not None
    processes.end(found)
    eventually(lambda: is_gone(child))
    assert parent.wait() == -signal.SIGKILL


def test_a_number_that_came_to_mean_another_process_is_left_alone(parent: subprocess.Popen[str]) -> None:
    found = processes.identity(parent.pid)
    assert found is not None
    processes.end(replace(found, start_ticks=found.start_ticks - 1))
    processes.end(replace(found, boot="another"))
    assert parent.poll() is None


def test_a_started_program_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = f"""
import sys, signal
sys.path[:0] = {sys.path!r}
from pretrain_operator.bodies.local import processes
with open({str(tmp_path / "log")!r}, "wb") as log:
    child = processes.start([sys.executable, "-c", "import signal; signal.pause()"], {{}}, log)
print(child.pid, flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert not is_gone(child)
        process.kill()
        eventually(lambda: is_gone(child))


def test_leftovers_of_an_earlier_run_are_ended(tmp_path: Path, parent: subprocess.Popen[str]) -> None:
    job = a_job().stored_in(tmp_path / "run").job
    workplace = Workplace(Storage.of(job.spec.storage))
    found = processes.identity(parent.pid)
    assert found is not None
    with workplace.locked():
        workplace.write_processes([found, replace(found, pid=1)])
        assert LocalBody(job, workplace, PretrainJobStatus()).end_leftovers() == [found]
        assert workplace.read_processes() == []
    assert parent.wait() == -signal.SIGKILL


def test_the_lock_is_one_process_s_and_says_whose(tmp_path: Path) -> None:
    workplace = Workplace(Storage(str(tmp_path / "run")))
    assert workplace.runner() == 0
    with workplace.locked():
        assert workplace.runner() > 0
        with (
            pytest.raises(UserError, match=f"process {workplace.runner()} already runs") as refused,
            workplace.locked(),
        ):
            pass
        assert refused.value.code == "already-running"
    assert workplace.runner() == 0


def test_a_rank_whose_agent_ended_before_it_could_be_tied_to_it_ends_by_itself(tmp_path: Path) -> None:
    launcher = PARENT.replace('"import signal; signal.pause()"', repr(LATE_RANK))
    with (tmp_path / "log").open("wb") as log:
        agent = processes.start([sys.executable, "-c", launcher], dict(os.environ), log)
    rank = int(eventually((tmp_path / "log").read_text, lambda text: text.endswith("\n")))
    eventually(lambda: psutil.Process(rank).status(), lambda status: status == psutil.STATUS_STOPPED)
    agent.kill()
    agent.wait()
    os.kill(rank, signal.SIGCONT)
    eventually(lambda: is_gone(rank))
