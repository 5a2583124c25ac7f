"""A bit that flips in the memory of one of three workers, for real: it is seen, named, and nothing of it is saved."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support import token_runs
from support.crew import Crew, Worker
from support.eventually import eventually

from pretrain_api.errors import EXIT_STOPPED
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import audit
from pretrain_trainer.training import snapshots

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
NAMES = ("a", "b", "c")


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    found = Crew(tmp_path, token_runs.a_job(tmp_path, steps=100_000, globalBatchSize=12))
    yield found
    found.close()


def flip_a_bit(worker: Worker) -> None:
    """In both copies of the state that its agent holds: of the first weight, a bit of little weight."""
    (memory,) = [link for link in Path(f"/proc/{worker.agent.pid}/fd").iterdir() if "memfd:rank 0" in os.readlink(link)]
    with open(memory, "r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        slot = size // 2 - snapshots._PAGE - snapshots._NOTES_BYTES
        for place in (2 * snapshots._PAGE, 2 * snapshots._PAGE + slot):
            byte = os.pread(file.fileno(), 1, place)[0]
            os.pwrite(file.fileno(), bytes([byte ^ 1]), place)


def test_a_flipped_bit_is_named_and_training_goes_back_to_what_was_compared(crew: Crew, tmp_path: Path) -> None:
    crew.start(*NAMES)
    crew.publish(*NAMES)
    leader, corrupt = crew.workers["a"], crew.workers["b"]
    eventually(lambda: len(token_runs.commits(tmp_path)), lambda count: count > 1, within_seconds=120)
    corrupt.freeze()
    flip_a_bit(corrupt)
    (rank,) = token_runs.ranks_of(leader.agent)
    rank.kill()
    for process in [psutil.Process(corrupt.agent.pid), *token_runs.ranks_of(corrupt.agent)]:
        process.resume()
    log = eventually(lambda: leader.log, lambda text: "; went back to step" in text, within_seconds=120)
    (line,) = [line for line in log.splitlines() if "; went back to step" in line and "ERROR" not in line][:1]
    assert "the replicas differ at step" in line
    assert "rank 1 on" in line
    assert not any(f"rank {other} on" in line for other in (0, 2))
    before = token_runs.steps_done(leader.folder)
    eventually(lambda: token_runs.commits(tmp_path)[-1]["step"], lambda step: step > before, within_seconds=120)
    for name in NAMES:
        crew.workers[name].agent.terminate()
    for name in NAMES:
        assert crew.workers[name].agent.wait(timeout=60) == EXIT_STOPPED
    assert [str(difference) for difference in audit(Storage(str(tmp_path))).differences] == []
