"""`torchx run -s pretrain` and what follows it, in an environment as `pip install "pretrain-operator[torchx]"` makes it."""

from __future__ import annotations

import json
import subprocess

import pytest
from support.command_place import CommandPlace
from support.kubelet_logs import Kubelet
from support.torchx_environment import UV, Environment, environment

__all__ = ["environment"]


class TestEnvironment:
    def test_all_bounds_are_kept(self, environment: Environment) -> None:
        command = [UV, "pip", "check", "--python", str(environment.folder / "bin" / "python")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=environment.folder)
        assert done.returncode == 0, done.stderr

    def test_schedulers_of_torchx_are_still_there(self, environment: Environment) -> None:
        code = "from torchx.schedulers import *; print(json.dumps([list(get_scheduler_factories()), list(DEFAULT_SCHEDULER_MODULES)]))"
        known = environment.python(code)
        assert isinstance(known, list)
        ours, theirs = map(set, known)
        assert ours == theirs | {"pretrain"}

    def test_components_of_torchx_are_still_there(self, environment: Environment) -> None:
        code = (
            "from torchx.specs.finder import ModuleComponentsFinder, get_components\n"
            "own = ModuleComponentsFinder('torchx.components', '').find()\n"
            "print(json.dumps([list(get_components()), [c.name for c in own if not c.validation_errors]]))"
        )
        known = environment.python(code)
        assert isinstance(known, list)
        ours, theirs = map(set, known)
        assert ours == theirs | {"pretrain.job"}

    def test_a_scheduler_of_torchx_still_runs_what_it_ran(self, environment: Environment) -> None:
        done = environment.torchx("run", "-s", "local_cwd", "--wait", "utils.echo", "--msg", "still here")
        assert (done.returncode, "local_cwd://" in done.stdout) == (0, True), done.stderr


class TestRun:
    def test_submits_the_job_of_a_file(self, environment: Environment, place: CommandPlace) -> None:
        done = environment.torchx(
            "run", "-s", "pretrain", "pretrain.job", "--file", place.file(), "spec.training.seed=7"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == f"pretrain://torchx/{place.namespace}:gpt"
        job = json.loads(place.run("get", "gpt", "-o", "json").out)
        assert job["spec"]["training"]["seed"] == 7

    def test_a_dry_run_prints_the_job_and_makes_none(self, environment: Environment, place: CommandPlace) -> None:
        done = environment.torchx("run", "--dryrun", "-s", "pretrain", "pretrain.job", "--file", place.file())
        assert "kind: PretrainJob" in done.stdout
        assert f"namespace: {place.namespace}" in done.stdout
        assert "[no-such-job]" in place.run("get", "gpt").err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ("pretrain.job --file nowhere.yaml", "nowhere.yaml: no such file. [job-not-found]"),
            ("pretrain.job --file {file} spec.training.steps=-1", "spec.training.steps"),
            ("utils.echo", "Write: torchx run -s pretrain pretrain.job --file job.yaml"),
            ("-cfg namespace=nowhere pretrain.job --file {file}", "[no-such-namespace]"),
        ],
        ids=["no-file", "bad-field", "no-job", "no-namespace"],
    )
    def test_mistakes_are_told_without_a_traceback(
        self, environment: Environment, place: CommandPlace, arguments: str, said: str
    ) -> None:
        done = environment.torchx("run", "-s", "pretrain", *arguments.format(file=place.file()).split())
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert said.partition(". [")[0] in done.stderr


class TestAfterwards:
    def test_status_follows_the_job(self, environment: Environment, place: CommandPlace) -> None:
        place.submitted("gpt")
        handle = f"pretrain://torchx/{place.namespace}:gpt"
        assert "State: SUBMITTED" in environment.torchx("status", handle).stdout
        progress = {"step": 3, "totalSteps": 9, "steps": "3/9", "loss": "2.5"}
        place.status("gpt", observedGeneration=1, state="Training", progress=progress)
        told = environment.torchx("status", handle).stdout
        assert "State: RUNNING" in told
        assert "step 3/9, loss 2.5" in told

    def test_a_job_that_is_not_there_is_told(self, environment: Environment, place: CommandPlace) -> None:
        done = environment.torchx("status", f"pretrain://torchx/{place.namespace}:gone")
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)

    def test_list_has_the_job(self, environment: Environment, place: CommandPlace) -> None:
        place.submitted("gpt")
        assert f"pretrain://torchx/{place.namespace}:gpt" in environment.torchx("list", "-s", "pretrain").stdout

    def test_cancel_suspends_and_nothing_is_lost(self, environment: Environment, place: CommandPlace) -> None:
        place.submitted("gpt")
        handle = f"pretrain://torchx/{place.namespace}:gpt"
        assert environment.torchx("cancel", handle).returncode == 0
        assert json.loads(place.run("get", "gpt", "-o", "json").out)["spec"]["suspend"] is True
        place.status("gpt", observedGeneration=2, state="Suspended")
        assert "State: CANCELLED" in environment.torchx("status", handle).stdout

    def test_describe_and_log_show_workers(
        self, environment: Environment, place: CommandPlace, kubelet: Kubelet
    ) -> None:
        place.submitted("gpt")
        place.status("gpt", observedGeneration=1, state="Training")
        for worker in range(2):
            kubelet.write(place.pod("gpt", kubelet.node, worker=worker), f"step 1 of worker {worker}", "done")
        handle = f"pretrain://torchx/{place.namespace}:gpt"
        described = environment.torchx("describe", handle).stdout
        assert "'num_replicas': 2" in described
        logs = environment.torchx("log", f"{handle}/train").stdout
        assert sorted(line for line in logs.splitlines() if "step" in line) == [
            "train/0 step 1 of worker 0",
            "train/1 step 1 of worker 1",
        ]
        only = environment.torchx("log", "--regex", "step", f"{handle}/train/1").stdout
        assert [line.partition(" ")[2] for line in only.splitlines()] == ["step 1 of worker 1"]

    def test_a_followed_log_ends_with_the_job(
        self, environment: Environment, place: CommandPlace, kubelet: Kubelet
    ) -> None:
        place.submitted("gpt")
        pod = place.pod("gpt", kubelet.node)
        kubelet.write(pod, "first", "last")
        kubelet.end(pod)
        place.pod_state(pod, "terminated")
        place.status("gpt", observedGeneration=1, state="Succeeded")
        done = environment.torchx("log", "--tail", f"pretrain://torchx/{place.namespace}:gpt/train")
        assert [line.partition(" ")[2] for line in done.stdout.splitlines()] == ["first", "last"]
