"""`pretrain logs NAME` through a real API server: merged, filtered, followed, over broken connections."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from support.cluster.control_plane import ControlPlane
from support.command_place import CommandPlace
from support.eventually import eventually
from support.kubelet_logs import Kubelet, registered

from pretrain_cli.cluster import followed
from pretrain_cli.cluster.connection import connect
from pretrain_cli.cluster.followed import Followed
from pretrain_cli.cluster.log_streams import PodLog
from pretrain_cli.cluster.merging import merged
from pretrain_cli.cluster.pods import JobPod, pod


@pytest.fixture
def running(place: CommandPlace, kubelet: Kubelet) -> CommandPlace:
    """A job with two workers of two ranks that have trained two steps."""
    place.submitted("gpt", workers={"processesPerWorker": 2, "max": 2})
    place.status("gpt", state="Training", observedGeneration=1)
    for worker in (0, 1):
        place.pod("gpt", kubelet.node, worker=worker)
    for step in (1, 2):
        kubelet.write("gpt-w0-1", f"step {step}")
        kubelet.write("gpt-w1-1", f"[rank2]: step {step}", f"[rank3]: step {step}")
    return place


def pods_of(place: CommandPlace) -> list[JobPod]:
    return [pod(manifest) for manifest in place.kubectl.get("pods", "-n", place.namespace)["items"]]


def finish(place: CommandPlace, kubelet: Kubelet, state: str = "Succeeded") -> None:
    """Every pod ends, then the job."""
    for each in pods_of(place):
        kubelet.end(each.name)
        if not each.has_ended:
            place.pod_state(each.name, "terminated")
    place.status("gpt", state=state, observedGeneration=1)


class Reader:
    """Follows the job "gpt" in a thread and collects what arrives."""

    def __init__(self, place: CommandPlace, readers: int = followed.READERS) -> None:
        connection = connect(str(place.kubeconfig))
        self.followed = Followed(connection, "gpt", lambda _: True, [], readers)
        self.lines: list[str] = []
        self.notes: list[str] = []
        self.thread = threading.Thread(target=self._collect, daemon=True)
        self.thread.start()

    def _collect(self) -> None:
        for item in self.followed.items():
            if isinstance(item, str):
                self.notes.append(item)
            else:
                self.lines.append(f"{item[0].pod.label} {item[1].text.decode()}")

    def has(self, count: int) -> list[str]:
        return eventually(lambda: list(self.lines), lambda lines: len(lines) >= count, 60)

    def ended(self) -> list[str]:
        self.thread.join(60)
        assert not self.thread.is_alive(), "it still follows"
        return self.lines


@pytest.fixture
def following(running: CommandPlace, kubelet: Kubelet) -> Iterator[Callable[..., Reader]]:
    """Starts readers, and ends those that a test leaves behind by ending the job."""
    started: list[Reader] = []

    def start(**options: int) -> Reader:
        started.append(Reader(running, **options))
        return started[-1]

    yield start
    if any(reader.thread.is_alive() for reader in started):
        finish(running, kubelet)
        for reader in started:
            reader.thread.join(60)


class TestWhatWasWritten:
    def test_is_merged_by_time_with_worker_and_rank(self, running: CommandPlace) -> None:
        assert running.run("logs", "gpt").out.splitlines() == [
            "[train/0] step 1", "[train/1 rank 2] step 1", "[train/1 rank 3] step 1",
            "[train/0] step 2", "[train/1 rank 2] step 2", "[train/1 rank 3] step 2",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("options", "lines"),
        [
            (["--worker", "0"], ["[train/0] step 1", "[train/0] step 2"]),
            (["--rank", "3"], ["[train/1 rank 3] step 1", "[train/1 rank 3] step 2"]),
            (["--tail", "1"], ["[train/0] step 2", "[train/1 rank 3] step 2"]),
            (["--tail", "1", "--no-prefix"], ["step 2", "[rank3]: step 2"]),
            (["--worker", "0", "--tail", "1", "--timestamps"], ["[train/0] 2026-01-01T12:00:00.004000000Z step 2"]),
            (["--stage", "train", "--tail", "0"], []),
            (["--since", "1h"], []),
        ],
    )
    def test_is_filtered(self, running: CommandPlace, options: list[str], lines: list[str]) -> None:
        assert running.run("logs", "gpt", *options).out.splitlines() == lines

    def test_has_colours_on_a_terminal_alone(self, running: CommandPlace) -> None:
        assert "\x1b" not in running.run("logs", "gpt").out

    def test_of_the_attempt_before(self, running: CommandPlace, kubelet: Kubelet) -> None:
        running.pod("gpt", kubelet.node, attempt=2)
        kubelet.write("gpt-w0-2", "from the checkpoint")
        assert running.run("logs", "gpt", "--previous").out.splitlines() == ["[train/0] step 1", "[train/0] step 2"]

    def test_of_a_program_that_ended_without_a_line_break(self, running: CommandPlace, kubelet: Kubelet) -> None:
        kubelet.write("gpt-w0-1", "Killed", end="")
        kubelet.end("gpt-w0-1")
        running.pod_state("gpt-w0-1", "terminated")
        assert running.run("logs", "gpt", "--worker", "0").out.splitlines()[-1] == "[train/0] Killed"
        assert running.run("logs", "gpt", "--worker", "0", "--tail", "1").out == "[train/0] Killed\n"

    def test_is_whole_though_the_answers_break_anywhere(self, running: CommandPlace, kubelet: Kubelet) -> None:
        kubelet.write("gpt-w0-1", *[f"line {n}" for n in range(300)])
        random.seed(seed := random.randrange(1 << 32))
        print(f"seed {seed}")
        for _ in range(8):  # three breaks without a new line between them are borne, a fourth means a lost node
            kubelet.break_after(*[random.randrange(1, 3000) for _ in range(3)])
            out = running.run("logs", "gpt", "--worker", "0").out.splitlines()
            assert out[2:] == [f"[train/0] line {n}" for n in range(300)]

    def test_is_whole_though_answers_break_before_their_first_byte(
        self, running: CommandPlace, kubelet: Kubelet
    ) -> None:
        kubelet.write("gpt-w0-1", *[f"line {n}" for n in range(300)])
        kubelet.break_after(2900, 0, 0)
        out = running.run("logs", "gpt", "--worker", "0").out.splitlines()
        assert out[2:] == [f"[train/0] line {n}" for n in range(300)]

    def test_of_many_pods_takes_few_connections(self, running: CommandPlace, kubelet: Kubelet) -> None:
        logs = [PodLog(connect(str(running.kubeconfig)), each) for each in pods_of(running) * 5]
        notes: list[str] = []
        lines = [line.text.decode() for _, line in merged(logs, notes.append, at_once=2)]
        in_order = ["step 1", "[rank2]: step 1", "[rank3]: step 1", "step 2", "[rank2]: step 2", "[rank3]: step 2"]
        assert lines == [line for line in in_order for _ in range(5)]
        assert kubelet.most_at_once <= 2
        assert notes == []


class TestNothingToShow:
    def test_of_pods_that_have_not_started_says_where_to_look(self, place: CommandPlace, kubelet: Kubelet) -> None:
        place.submitted("gpt")
        place.pod("gpt", kubelet.node, state="waiting")
        printed = place.run("logs", "gpt")
        assert printed.code == 2
        assert "train/0 has not started yet. `pretrain describe gpt` shows why. [no-logs]" in printed.err

    def test_of_filters_that_mean_no_pod_lists_those_there_are(self, running: CommandPlace) -> None:
        printed = running.run("logs", "gpt", "--worker", "7")
        assert printed.code == 2
        assert "There are: train/0, train/1. [no-logs]" in printed.err

    def test_of_a_node_that_does_not_answer_shows_the_others(
        self, running: CommandPlace, api_server: ControlPlane
    ) -> None:
        with registered(api_server, dead := f"dead-{running.namespace}", port=1):
            running.pod("gpt", dead, worker=2)
            printed = running.run("logs", "gpt", "--tail", "1")
        assert printed.code == 0
        assert printed.out.splitlines() == ["[train/0] step 2", "[train/1 rank 3] step 2"]
        assert f"train/2: the log of gpt-w2-1 on node {dead} cannot be read" in printed.err


class TestFollowing:
    def test_prints_what_is_written_until_the_job_ends(
        self, running: CommandPlace, kubelet: Kubelet, following: Callable[..., Reader]
    ) -> None:
        reader = following()
        reader.has(6)
        kubelet.write("gpt-w0-1", "step 3")
        reader.has(7)
        kubelet.write("gpt-w0-1", "done")
        finish(running, kubelet)
        assert reader.ended()[-2:] == ["train/0 step 3", "train/0 done"]

    def test_goes_on_with_the_pods_of_the_next_attempt(
        self, running: CommandPlace, kubelet: Kubelet, following: Callable[..., Reader]
    ) -> None:
        reader = following()
        reader.has(6)
        kubelet.write("gpt-w0-1", "out of memory")
        kubelet.end("gpt-w0-1")
        running.pod_state("gpt-w0-1", "terminated")
        reader.has(7)
        for worker in (0, 1):
            running.delete("pod", f"gpt-w{worker}-1")
        kubelet.end("gpt-w1-1")
        running.pod("gpt", kubelet.node, state="waiting", attempt=2)
        running.pod_state("gpt-w0-2", "running")
        kubelet.write("gpt-w0-2", "from the checkpoint")
        reader.has(8)
        finish(running, kubelet, "Failed")
        assert reader.ended()[-2:] == ["train/0 out of memory", "train/0 from the checkpoint"]

    def test_loses_and_repeats_nothing_over_broken_connections(
        self, running: CommandPlace, kubelet: Kubelet, following: Callable[..., Reader]
    ) -> None:
        random.seed(seed := random.randrange(1 << 32))
        print(f"seed {seed}")
        kubelet.break_after(*[random.randrange(1, 400) for _ in range(30)])
        reader = following()
        for n in range(200):
            kubelet.write(f"gpt-w{n % 2}-1", f"line {n}")
        lines = reader.has(206)
        for worker in (0, 1):
            wanted = [f"train/{worker} line {n}" for n in range(worker, 200, 2)]
            assert [line for line in lines if line.startswith(f"train/{worker} line")] == wanted

    def test_of_more_pods_than_readers_takes_turns(
        self, running: CommandPlace, kubelet: Kubelet, following: Callable[..., Reader]
    ) -> None:
        for worker in range(2, 8):
            running.pod("gpt", kubelet.node, worker=worker)
        reader = following(readers=2)
        reader.has(6)
        for n in range(3):
            for worker in range(8):
                kubelet.write(f"gpt-w{worker}-1", f"line {n}")
        lines = reader.has(6 + 24)
        for worker in range(8):
            own = [line for line in lines if line.startswith(f"train/{worker} line")]
            assert own == [f"train/{worker} line {n}" for n in range(3)]
        assert kubelet.most_at_once <= 2 + 2  # those that were followed before the others came may not be closed yet

    def test_ends_when_the_job_is_deleted(
        self, running: CommandPlace, kubelet: Kubelet, following: Callable[..., Reader]
    ) -> None:
        reader = following()
        reader.has(6)
        running.delete("job", "gpt")
        for worker in (0, 1):
            running.delete("pod", f"gpt-w{worker}-1")
            kubelet.end(f"gpt-w{worker}-1")
        reader.ended()
        assert reader.notes == ["gpt: the job was deleted"]

    def test_of_a_job_that_has_ended_prints_and_ends(self, running: CommandPlace, kubelet: Kubelet) -> None:
        finish(running, kubelet)
        printed = running.run("logs", "gpt", "--follow", "--tail", "1")
        assert (printed.code, printed.out) == (0, "[train/0] step 2\n[train/1 rank 3] step 2\n")

    def test_begins_where_the_tail_ends(self, running: CommandPlace, kubelet: Kubelet) -> None:
        log = PodLog(connect(str(running.kubeconfig)), pods_of(running)[0], tail=0)
        assert list(log.written()) == []
        kubelet.set_clock(datetime.now(UTC) + timedelta(seconds=5))
        kubelet.write("gpt-w0-1", "step 3", "step 4")
        assert [line.text for line in log.written()] == [b"step 3", b"step 4"]
