"""Bits that flip in the memory of one of three workers, for real: they are seen, named, and nothing of them is saved."""

import contextlib
import os
import re
import threading
from collections import Counter
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
_BYTES = 256
"""So many tell a state's place from any other."""
_SEARCHES, _LOOKS = 4, 30
"""How often all memory of a rank is searched for it, and how often the places that were found are looked at."""


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    """Three workers that train and have saved something."""
    job = token_runs.a_job(tmp_path, steps=100_000, globalBatchSize=12)
    job["spec"]["checkpoint"]["everySeconds"] = 3
    found = Crew(tmp_path, job)
    try:
        found.start(*NAMES)
        found.publish(*NAMES)
        eventually(lambda: len(token_runs.commits(tmp_path)), lambda count: count > 1, within_seconds=120)
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def memory_of(worker: Worker) -> Iterator[int]:
    """What its agent holds for its rank, as a descriptor."""
    links = Path(f"/proc/{worker.agent.pid}/fd").iterdir()
    (memory,) = [link for link in links if "memfd:rank 0" in os.readlink(link)]
    with open(memory, "r+b", buffering=0) as file:
        yield file.fileno()


def slots(memory: int) -> tuple[int, int]:
    """Where the two copies of the state begin in it."""
    slot = os.fstat(memory).st_size // 2 - snapshots._PAGE - snapshots._NOTES_BYTES
    return 2 * snapshots._PAGE, 2 * snapshots._PAGE + slot


def newest_step(worker: Worker) -> int:
    """Of the whole copies in its agent's memory."""
    with memory_of(worker) as memory:
        headers = [
            snapshots._HEADER.unpack(os.pread(memory, snapshots._HEADER.size, n * snapshots._PAGE)) for n in (0, 1)
        ]
    return max(int(step) for is_whole, step, _ in headers if is_whole)


def flip(memory: int, place: int) -> None:
    """A bit of little weight."""
    os.pwrite(memory, bytes([os.pread(memory, 1, place)[0] ^ 1]), place)


def thaw(worker: Worker) -> None:
    for process in (psutil.Process(worker.agent.pid), *token_runs.ranks_of(worker.agent)):
        process.resume()


def flip_in_the_rank(worker: Worker) -> None:
    """In the rank's own weights: of the places that hold the bytes of a copy of its state, the one that does so most often.
    Others are what is left of copies on their way, and nobody reads them again."""
    (rank,) = token_runs.ranks_of(worker.agent)
    counts = Counter[int]()
    for look in range(300):
        worker.freeze()
        try:
            with memory_of(worker) as memory, open(f"/proc/{rank.pid}/mem", "r+b", buffering=0) as own:
                copies = [os.pread(memory, _BYTES, place) for place in slots(memory)]
                if look < _SEARCHES:
                    places = {place for copy in copies for place in places_of(rank.pid, copy)}
                else:
                    places = {place for place in counts if os.pread(own.fileno(), _BYTES, place) in copies}
                counts.update(places)
                if look >= _LOOKS and counts and counts.most_common(1)[0][0] in places:
                    for place in places:
                        flip(own.fileno(), place)
                    return
        finally:
            thaw(worker)
        threading.Event().wait(0.03)
    raise AssertionError("the rank's state was never the one in the copy")


def places_of(pid: int, wanted: bytes) -> list[int]:
    """Where these bytes stand in what is a process's own."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            bounds, rights, _, _, inode, *_ = line.split()
            begin, end = (int(bound, 16) for bound in bounds.split("-"))
            if rights.startswith("rw-p") and inode == "0" and end - begin < 1 << 28:
                with contextlib.suppress(OSError):
                    content = os.pread(memory.fileno(), end - begin, begin)
                    found += [begin + match.start() for match in re.finditer(re.escape(wanted), content)]
    return found


def what_the_log_says(leader: Worker) -> str:
    log = eventually(lambda: leader.log, lambda text: "; went back to step" in text, within_seconds=120)
    return next(line for line in log.splitlines() if "; went back to step" in line)


def assert_it_goes_on_and_every_sample_was_read_once(crew: Crew, root: Path, line: str) -> None:
    (step,) = re.findall(r"differ at step (\d+)", line)
    eventually(lambda: token_runs.commits(root)[-1]["step"], lambda newest: newest > int(step), within_seconds=120)
    for name in NAMES:
        crew.workers[name].agent.terminate()
    for name in NAMES:
        assert crew.workers[name].agent.wait(timeout=60) == EXIT_STOPPED
    assert [str(difference) for difference in audit(Storage(str(root))).differences] == []


def test_a_bit_that_flips_in_a_copy_is_found_when_a_rank_goes_on_from_it(crew: Crew, tmp_path: Path) -> None:
    leader, corrupt = crew.workers["a"], crew.workers["b"]

    def has_the_newest_state() -> bool:
        """Frozen right behind a commit, so that none is under way, with a copy that is newer and that all have."""
        count = len(token_runs.commits(tmp_path))
        eventually(lambda: len(token_runs.commits(tmp_path)), lambda more: more > count, within_seconds=60)
        threading.Event().wait(0.5)
        corrupt.freeze()
        threading.Event().wait(0.3)  # the others come to where they wait for it
        newest = {newest_step(worker) for worker in crew.workers.values()}
        if len(newest) == 1 and newest.pop() > token_runs.commits(tmp_path)[-1]["step"]:
            return True
        thaw(corrupt)
        return False

    eventually(has_the_newest_state, within_seconds=120)
    with memory_of(corrupt) as memory:
        for place in slots(memory):
            flip(memory, place)
    (rank,) = token_runs.ranks_of(corrupt.agent)
    rank.kill()  # it would write another copy
    thaw(corrupt)
    line = what_the_log_says(leader)
    assert "rank 1 on" in line
    assert not any(f"rank {other} on" in line for other in (0, 2))
    assert_it_goes_on_and_every_sample_was_read_once(crew, tmp_path, line)


def test_a_bit_that_flips_in_a_rank_is_found_while_it_trains(crew: Crew, tmp_path: Path) -> None:
    flip_in_the_rank(crew.workers["c"])
    line = what_the_log_says(crew.workers["a"])
    assert "rank 2 on" in line
    assert not any(f"rank {other} on" in line for other in (0, 1))
    assert crew.workers["a"].recoveries == []  # it was mended within the start
    assert_it_goes_on_and_every_sample_was_read_once(crew, tmp_path, line)
