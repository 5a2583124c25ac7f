"""Several workers under `pretrain run`: each may die alone, and the others go on without it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from support.eventually import eventually
from support.jobs import a_job
from support.local_runs import LocalRun

from pretrain_api.storage import Storage
from pretrain_api.world import Member, World
from pretrain_operator.bodies.local.crew import Crew
from pretrain_operator.bodies.local.programs import Follows
from pretrain_operator.bodies.local.started import Started
from pretrain_trainer.auditing.audit import audit

READER = "import os, sys\nwhile told := os.read({0}, 1 << 16):\n    print(told.decode(), end='', flush=True)"
"""What an agent does with its pipe, without the training."""


class TestCrew:
    """The workers themselves, with programs that print what they are told."""

    @pytest.fixture
    def crew(self) -> Iterator[Crew]:
        found = Crew(1, "gpt", "here")
        yield found
        found.close()

    @pytest.fixture
    def begin(self, tmp_path: Path) -> Callable[[Follows], Started]:
        def begin(follows: Follows) -> Started:
            own = tmp_path / follows.uid
            program = [sys.executable, "-c", READER.format(follows.worlds)]
            return Started("Train", 1, own, own.with_suffix(".log"), program, os.environ, [follows.worlds])

        return begin

    @staticmethod
    def roster(crew: Crew, generation: int, *numbers: int) -> World:
        seen = {worker.worker: worker for worker in crew.workers()}
        chosen = [seen[number] for number in numbers]
        members = tuple(Member(worker=w.worker, pod=w.pod, uid=w.uid, address=w.address) for w in chosen)
        return World(generation=generation, attempt=1, roster=members, leader=members[0].address)

    @staticmethod
    def heard(tmp_path: Path, crew: Crew, number: int, generations: list[int]) -> list[World]:
        """What a worker was told of; waits for these."""
        [uid] = [worker.uid for worker in crew.workers() if worker.worker == number]

        def told() -> list[World]:
            lines = (tmp_path / f"{uid}.log").read_text().splitlines()[1:]
            return [World.model_validate_json(line) for line in lines]

        return eventually(told, lambda worlds: [world.generation for world in worlds] == generations)

    def test_hear_of_each_roster_once_and_who_comes_later_of_the_newest(
        self, crew: Crew, begin: Callable[[Follows], Started], tmp_path: Path
    ) -> None:
        crew.start(0, begin)
        crew.start(0, begin)  # carried out twice
        crew.start(1, begin)
        assert [worker.worker for worker in crew.workers()] == [0, 1]
        first = self.roster(crew, 1, 0, 1)
        crew.tell(first)
        crew.tell(first)
        crew.tell(self.roster(crew, 2, 1))
        crew.start(2, begin)
        [one, two] = self.heard(tmp_path, crew, 0, [1, 2])
        assert self.heard(tmp_path, crew, 1, [1, 2]) == [one, two]
        assert self.heard(tmp_path, crew, 2, [2]) == [two]
        assert one.port != two.port, "they meet at whoever leads"
        crew.tell(self.roster(crew, 3, 0, 2))
        assert self.heard(tmp_path, crew, 0, [1, 2, 3])[-1].port == one.port, "who leads again is found again"

    def test_that_end_or_are_dropped_are_seen_as_such(self, crew: Crew, begin: Callable[[Follows], Started]) -> None:
        for number in range(3):
            crew.start(number, begin)
        running = [p.pid for p in crew.programs]
        os.kill(running[0], signal.SIGKILL)
        ended = eventually(lambda: crew.workers()[0], lambda worker: worker.state == "Ended")
        assert (ended.exit_code, ended.is_alive) == (-9, False)
        assert ended.ended is not None
        assert datetime.now(UTC) >= ended.ended
        os.kill(running[1], signal.SIGSTOP)
        crew.drop([1])
        assert [worker.worker for worker in crew.workers()] == [0, 2]
        assert not psutil.pid_exists(running[1])
        crew.close()
        assert not crew.is_alive
        assert not psutil.pid_exists(running[2])

    def test_one_that_reads_no_more_keeps_nobody_waiting(self, crew: Crew, begin: Callable[[Follows], Started]) -> None:
        crew.start(0, begin)
        os.kill(crew.programs[0].pid, signal.SIGSTOP)
        for generation in range(1, 1000):  # more than a pipe holds
            crew.tell(self.roster(crew, generation, 0))
        assert crew.world is not None
        assert crew.world.generation == 999

    def test_a_program_that_cannot_be_started_leaves_no_descriptor_open(self, crew: Crew) -> None:
        def begin(follows: Follows) -> Started:
            raise FileNotFoundError(follows.uid)

        before = os.listdir("/proc/self/fd")
        with pytest.raises(FileNotFoundError):
            crew.start(0, begin)
        assert os.listdir("/proc/self/fd") == before
        assert crew.workers() == ()


@pytest.mark.slow
def test_training_goes_on_without_whoever_is_killed_and_without_whoever_is_frozen(tmp_path: Path) -> None:
    job = a_job().stored_in(tmp_path / "run").with_steps(1_000_000).with_spec(workers={"min": 1, "max": 2})
    run = LocalRun(tmp_path, job).until("Training")
    agents = eventually(lambda: [psutil.Process(rank.ppid()) for rank in run.ranks()], lambda found: len(found) == 2)
    leader, other = sorted(agents, key=lambda agent: agent.pid)

    # The leader is killed, and its rank with it: the other goes on from its memory, and a new worker comes to it.
    leader.kill()
    eventually(lambda: run.status["recovery"], lambda recovery: recovery["restarts"] == 2, within_seconds=120)
    assert run.stage("Train")["attempts"] == 1
    recovery = run.status["recovery"]
    assert (recovery["failures"], recovery["lastFailure"]["worker"]) == (1, "test-w0")
    assert recovery["lastRecovery"]["kind"] == "Grow"
    assert run.status["world"]["summary"] == "2/2"
    assert "Worker test-w0" in run.output
    assert "Training goes on with 1 worker until it is replaced" in run.output
    assert "after the roster changed (worker test-w2 joined; 2 of 2 workers train.)" in run.output
    assert "another attempt" not in run.output

    # What was the other is frozen: nobody sees it end, but its neighbour hears nothing of it.
    frozen = [other, *other.children(recursive=True)]
    for process in frozen:
        process.suspend()
    eventually(lambda: run.status["recovery"], lambda found: found["restarts"] == 4, within_seconds=120)
    assert run.stage("Train")["attempts"] == 1
    assert not other.is_running() or other.status() == psutil.STATUS_ZOMBIE

    # Each has a log of its own, in their order.
    assert run.signalled(signal.SIGINT).exit_code() == 130, run.output
    printed = subprocess.run(
        [Path(sys.executable).parent / "pretrain", "logs", run.file, "--stage", "Train"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert printed.count("--- Train, attempt 1") == 4
    assert sorted(p.name for p in (tmp_path / "run" / "logs").glob("train*")) == [f"train-w{n}.log" for n in range(4)]

    # Both saved together; nothing was lost or repeated, and as one worker it goes on.
    saved = run.status["checkpoint"]["step"]
    found = audit(Storage(str(tmp_path / "run")))
    assert (found.steps, found.differences) == (saved, ())
    alone = LocalRun(tmp_path, job.with_spec(workers={"min": 1, "max": 1})).until("Training")
    eventually(lambda: alone.output, lambda output: f"resumed at step {saved}" in output)
    assert alone.signalled(signal.SIGINT).exit_code() == 130
