"""The program of a job's pods, with real stage programs, real ranks and a real API server."""

import functools
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import token_runs
from support.cluster.control_plane import ControlPlane
from support.cluster.s3 import S3Server
from support.data_stages import a_source
from support.eventually import eventually
from support.job_pods import Pod, Surroundings, written

from pretrain_api import layout
from pretrain_api.cluster import ENV_INDEX
from pretrain_api.errors import EXIT_STOPPED, EXIT_USER_ERROR
from pretrain_api.recoveries import Recovery
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage

AGENT = "pretrain_trainer.agent"


@pytest.fixture
def surroundings(api_server: ControlPlane, tmp_path: Path) -> Surroundings:
    return Surroundings(api_server, tmp_path)


@pytest.fixture
def port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Whatever a test does to its pods, nothing of them outlives it."""
    before = _of_the_trainer()
    yield
    left = _of_the_trainer() - before
    for process in left:
        process.kill()
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


def _of_the_trainer() -> set[psutil.Process]:
    """Processes of the trainer below this one; what another test module started, a server of forks say, is among them."""
    below = psutil.Process().children(recursive=True)
    return {process for process in below if "pretrain_trainer" in " ".join(_command(process))}


def _command(process: psutil.Process) -> list[str]:
    try:
        found: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return found


class Gang:
    """The training pods of a job, each a machine of its own as far as it can tell."""

    def __init__(
        self,
        root: Path,
        surroundings: Surroundings,
        job: dict[str, Any],
        workers: int,
        attempt: int = 1,
        **environment: str,
    ) -> None:
        self._root, self._surroundings, self._attempt, self._environment = root, surroundings, attempt, environment
        self._job = written(root, job)
        self.uids: list[str] = []
        self.pods: list[Pod] = []
        for _ in range(workers):
            self.add()

    def add(self) -> None:
        """One more pod."""
        worker = len(self.pods)
        self.uids.append(uid := f"uid-{self._attempt}-{worker}")
        self.pods.append(
            Pod(
                self._root / f"pod-{uid}",
                Stage.TRAIN,
                self._job,
                token_runs.UPSTREAM,
                *("--attempt", str(self._attempt)),
                service_account=self._surroundings.service_account,
                **self._surroundings.environment(uid),
                **self._environment,
            )
        )

    def ranks(self) -> list[psutil.Process]:
        """The training processes of all pods."""
        below = [child for pod in self.pods for child in psutil.Process(pod.process.pid).children(recursive=True)]
        return [p for p in below if p.name().startswith("rank ")]


def a_job(root: Path, processes: int = 1, **training: Any) -> dict[str, Any]:
    job = token_runs.a_job(root, **training)
    job["spec"]["workers"] = {"processesPerWorker": processes}
    return job


def recovered(surroundings: Surroundings) -> Recovery | None:
    report = surroundings.reported()
    return report.recovery if report else None


def step_of(surroundings: Surroundings) -> float:
    report = surroundings.reported()
    return report.figures.get("step", 0) if report else 0


@pytest.mark.slow
class TestTraining:
    def test_workers_that_share_an_s3_bucket_alone_train_as_one_machine_does(
        self, tmp_path: Path, surroundings: Surroundings, port: int, s3_server: S3Server
    ) -> None:
        alone = tmp_path / "alone"
        alone.mkdir()
        assert token_runs.start(alone, token_runs.a_job(alone), ranks=2).wait(timeout=180) == 0
        s3_server.make_bucket("gang")
        root = s3_server.buckets / "gang" / "run"
        job = a_job(root)
        job["spec"]["storage"] = {"uri": "s3://gang/run", "endpointUrl": s3_server.url}
        gang = Gang(tmp_path, surroundings, job, workers=2, **s3_server.environment)
        surroundings.publish(1, gang.uids, port)
        assert [pod.ended() for pod in gang.pods] == [0, 0], gang.pods[0].log
        fingerprint = gang.pods[0].outcome.fingerprint
        assert [(pod.outcome.outcome, pod.outcome.fingerprint) for pod in gang.pods] == [("complete", fingerprint)] * 2
        expected = token_runs.record(alone)["details"]
        assert token_runs.record(root)["details"]["parametersSha256"] == expected["parametersSha256"]
        assert token_runs.losses(root) == token_runs.losses(alone)

        report = surroundings.reported()
        assert report is not None
        assert report.checkpoint is not None
        assert (report.stage, report.attempt, report.figures["step"], report.checkpoint.step) == (
            Stage.TRAIN,
            1,
            12,
            12,
        )
        assert report.checkpoint.uri.startswith(f"s3://gang/run/{layout.CHECKPOINT_DATA}/")

    def test_a_stop_of_one_pod_saves_and_the_next_gang_goes_on(
        self, tmp_path: Path, surroundings: Surroundings, port: int
    ) -> None:
        job = a_job(tmp_path, processes=2, steps=100_000)
        job["spec"]["checkpoint"]["everySeconds"] = 100_000
        gang = Gang(tmp_path, surroundings, job, workers=2)
        surroundings.publish(1, gang.uids, port)
        eventually(functools.partial(step_of, surroundings), within_seconds=180)
        assert len(gang.ranks()) == 4
        for pod in reversed(gang.pods):  # the other one waits for another world until it is stopped as well
            assert pod.process.poll() is None
            pod.process.send_signal(signal.SIGTERM)
            assert pod.ended() == EXIT_STOPPED, gang.pods[0].log
        assert [pod.outcome.outcome for pod in gang.pods] == ["stopped"] * 2
        report = surroundings.reported()
        assert report is not None
        assert report.checkpoint is not None

        again = Gang(tmp_path, surroundings, job, workers=2, attempt=2)
        surroundings.publish(2, again.uids, port)
        eventually(
            functools.partial(step_of, surroundings),
            lambda step: step > report.figures["step"],
            within_seconds=180,
        )
        assert f"resumed at step {report.checkpoint.step}" in again.pods[0].log

        # A rank that is killed, in either pod: the ranks of both are started again in place.
        for number, rank in enumerate((3, 0), 1):
            ranks = {process.name(): process for process in again.ranks()}
            ranks[f"rank {rank}"].kill()
            seen = eventually(
                functools.partial(recovered, surroundings), lambda r, n=number: r is not None and r.number == n, 60
            )
            assert seen is not None
            assert (seen.kind, seen.rank, seen.node) == ("Restart", rank, rank // 2)
            assert seen.lost_steps <= 20
        assert [pod.process.poll() for pod in again.pods] == [None, None]
        assert again.pods[0].log.count("from memory") == 2

        # The agent of a pod that is killed: the pod says so, and the other one goes on with whoever is told to come.
        agent, *_ = (p for p in psutil.Process(again.pods[1].process.pid).children() if _command(p)[2] == AGENT)
        agent.kill()
        assert again.pods[1].ended() == 128 + signal.SIGKILL
        outcome = again.pods[1].outcome
        assert (outcome.outcome, outcome.kind, outcome.rank) == ("failed", "Signal", -1)
        again.add()
        surroundings.publish(3, [again.uids[0], again.uids[2]], port, attempt=2, planned=False)
        seen = eventually(functools.partial(recovered, surroundings), lambda r: r is not None and r.number == 3, 120)
        assert seen is not None
        assert (seen.kind, seen.worker) == ("Replace", "w-uid-2-1")
        assert again.pods[0].log.count("from memory") == 3
        left = [again.pods[0], again.pods[2]]
        for pod in left:
            pod.process.send_signal(signal.SIGTERM)
        assert [pod.ended() for pod in left] == [EXIT_STOPPED] * 2

    def test_a_pod_that_is_stopped_while_it_waits_leaves_at_once(
        self, tmp_path: Path, surroundings: Surroundings
    ) -> None:
        gang = Gang(tmp_path, surroundings, a_job(tmp_path), workers=1, attempt=2)
        surroundings.publish(1, gang.uids, 1)
        eventually(lambda: "waiting for a world of attempt 2" in gang.pods[0].log, within_seconds=60)
        gang.pods[0].process.send_signal(signal.SIGTERM)
        assert gang.pods[0].ended(30) == EXIT_STOPPED
        assert gang.pods[0].outcome.outcome == "stopped"

    def test_a_killed_pod_takes_all_its_processes_with_it(
        self, tmp_path: Path, surroundings: Surroundings, port: int
    ) -> None:
        gang = Gang(tmp_path, surroundings, a_job(tmp_path, steps=100_000), workers=1)
        surroundings.publish(1, gang.uids, port)
        eventually(functools.partial(step_of, surroundings), within_seconds=180)
        found = psutil.Process(gang.pods[0].process.pid).children(recursive=True)
        assert len(found) >= 2
        gang.pods[0].process.kill()
        gang.pods[0].ended()
        eventually(lambda: [p for p in found if p.is_running() and p.status() != "zombie"], lambda left: not left)


class TestOtherStages:
    def a_job(self, folder: Path, documents: str) -> Path:
        job = token_runs.a_job(folder / "run")
        job["spec"]["data"] = {"sources": [a_source(documents)]}
        return written(folder, job)

    def test_the_pods_of_a_phase_and_the_one_that_finishes(self, tmp_path: Path, surroundings: Surroundings) -> None:
        job = self.a_job(tmp_path, "python://lib/json/*.py")
        finished = None
        for phase, index, parts in (("collect", "0", "2"), ("collect", "1", "2"), ("finish", "0", "1")):
            finished = Pod(
                tmp_path / f"{phase}-{index}", Stage.COLLECT, job, {}, "--phase", phase, "--parts", parts,
                *("--attempt", "3"), service_account=surroundings.service_account,
                **{ENV_INDEX: index, **surroundings.environment("any")},
            )  # fmt: skip
            assert finished.ended() == 0, finished.log
            assert finished.outcome.outcome == "complete"
            assert bool(finished.outcome.fingerprint) == (phase == "finish")
        assert finished is not None
        record = Storage(str(tmp_path / "run")).read_json(layout.record(Stage.COLLECT, finished.outcome.fingerprint))
        assert record["flow"]["documents_out"] > 3
        report = surroundings.reported()
        assert report is not None
        assert (report.stage, report.attempt, report.phase) == (Stage.COLLECT, 3, "collect")

    def test_an_api_server_that_is_away_does_not_matter(self, tmp_path: Path) -> None:
        nowhere = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1",
                   "PRETRAIN_NAMESPACE": "x", "PRETRAIN_REPORT": "x-report"}  # fmt: skip
        pod = Pod(tmp_path / "pod", Stage.COLLECT, self.a_job(tmp_path, "python://lib/json/*.py"), {}, **nowhere)
        assert pod.ended() == 0, pod.log
        assert "the report could not be sent" in pod.log

    def test_a_users_mistake_is_the_termination_message(self, tmp_path: Path) -> None:
        pod = Pod(tmp_path / "pod", Stage.COLLECT, self.a_job(tmp_path, str(tmp_path / "none.jsonl")), {})
        assert pod.ended() == EXIT_USER_ERROR
        assert (pod.outcome.outcome, pod.outcome.code) == ("userError", "file-not-found")
        assert json.loads(pod.outcome.model_dump_json())["message"] in pod.log
