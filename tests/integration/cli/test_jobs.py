"""submit, list, get, describe, wait, suspend, resume and delete on a real API server; statuses written by the test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster.control_plane import ControlPlane
from support.cluster.fixtures import new_namespace
from support.command_place import CommandPlace
from support.eventually import eventually
from support.kubelet_logs import Kubelet

from pretrain_cli.kubectl import complete

PROGRAMS = Path(sys.executable).parent
TRAINING: dict[str, Any] = {
    "state": "Training", "stage": "Train", "observedGeneration": 1, "startTime": "2026-01-01T12:00:00Z",
    "conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "Working", "message": "Training goes on.",
                    "lastTransitionTime": "2026-01-01T12:00:00Z"}],
    "stages": [
        {"name": "Collect", "state": "Complete", "startTime": "2026-01-01T12:00:00Z", "attempts": 1,
         "completionTime": "2026-01-01T12:01:30Z", "message": "5 documents"},
        {"name": "Train", "state": "Running", "startTime": "2026-01-01T12:01:30Z", "attempts": 2},
    ],
    "world": {"generation": 2, "workers": 4, "ready": 3, "summary": "3/4"},
    "progress": {"step": 50, "totalSteps": 100, "steps": "50/100", "loss": "3.2100", "tokens": 12800,
                 "tokensPerSecond": 2560, "throughput": "2560 tokens/s", "updateTime": "2026-01-01T12:05:00Z",
                 "timeLeft": "5m"},
    "checkpoint": {"step": 40, "uri": "s3://bucket/gpt/checkpoints", "time": "2026-01-01T12:04:00Z"},
    "recovery": {"failures": 1, "disruptions": 2, "recentFailures": ["2026-01-01T12:03:00Z"],
                 "lastFailure": {"stage": "Train", "worker": "gpt-w3-1", "node": "a17", "rank": 26, "kind": "OutOfMemory",
                                 "message": "exit 137\nCUDA out of memory", "time": "2026-01-01T12:03:00Z"}},
}  # fmt: skip


def ended(state: str, message: str) -> dict[str, Any]:
    truth = {"Succeeded": "True", "Failed": "False"}[state]
    condition = {"type": "Succeeded", "status": truth, "reason": state, "message": message}
    return {"state": state, "observedGeneration": 1, "conditions": [condition]}


class TestSubmit:
    def test_makes_a_job_then_changes_it_then_leaves_it_alone(self, place: CommandPlace) -> None:
        file = place.file()
        assert place.run("submit", file).out == "pretrainjob.pretrain.dev/gpt created\n"
        assert place.run("submit", file).out == "pretrainjob.pretrain.dev/gpt unchanged\n"
        assert place.run("submit", file, "--set", "spec.workers.max=2").out == "pretrainjob.pretrain.dev/gpt changed\n"
        assert json.loads(place.run("get", "gpt", "-o", "json").out)["spec"]["workers"]["max"] == 2

    def test_says_what_to_do_next(self, place: CommandPlace) -> None:
        assert "pretrain logs gpt -f" in place.run("submit", place.file()).err

    def test_owns_the_written_fields_alone_and_leaves_defaults_to_the_cluster(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        managed = place.kubectl.get("pretrainjob", "gpt", "-n", place.namespace, "--show-managed-fields")
        (manager,) = managed["metadata"]["managedFields"]
        assert (manager["manager"], manager["operation"]) == ("pretrain", "Apply")
        assert "f:recovery" not in manager["fieldsV1"]["f:spec"]

    def test_refuses_what_validate_refuses_in_the_same_words(self, place: CommandPlace) -> None:
        wrong = (place.file(), "--set", "spec.training.steps=zero")
        assert place.run("submit", *wrong).err == place.run("validate", *wrong).err
        assert place.run("list", "-o", "name").out == ""

    @pytest.mark.parametrize("dry_run", ["client", "server"])
    def test_dry_runs_make_nothing(self, place: CommandPlace, dry_run: str) -> None:
        printed = place.run("submit", place.file(), f"--dry-run={dry_run}")
        assert (printed.code, printed.out.endswith(f"({dry_run} dry run)\n")) == (0, True)
        assert place.run("list", "-o", "name").out == ""

    def test_client_dry_run_prints_what_would_be_sent(self, place: CommandPlace) -> None:
        sent = yaml.safe_load(place.run("submit", place.file(), "--dry-run=client", "-o", "yaml").out)
        assert sent["spec"]["training"]["steps"] == 4
        assert "recovery" not in sent["spec"]
        assert "status" not in sent

    def test_what_cannot_change_any_more_is_refused_by_field(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        place.status("gpt", **TRAINING)
        printed = place.run("submit", place.file(), "--set", "spec.training.seed=7")
        assert printed.code == 2
        assert printed.err == (
            f"{place.folder}/gpt.yaml: spec.training: cannot change once training began. "
            "Make a job with another name and storage.uri. [immutable]\n"
        )

    def test_a_field_that_kubectl_changed_since_is_a_conflict_that_can_be_forced(self, place: CommandPlace) -> None:
        place.submitted("gpt", workers={"max": 2})
        patch = '{"spec":{"workers":{"max":3}}}'
        place.kubectl("patch", "pretrainjob", "gpt", "-n", place.namespace, "--type=merge", "-p", patch)
        printed = place.run("submit", place.file(workers={"max": 4}))
        assert printed.code == 2
        assert "spec.workers.max: changed by kubectl-patch since" in printed.err
        assert "--force-conflicts" in printed.err
        assert place.run("submit", place.file(workers={"max": 4}), "--force-conflicts").out.endswith("changed\n")

    def test_a_change_of_a_job_that_has_ended_is_refused(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        place.status("gpt", **ended("Succeeded", "done"))
        printed = place.run("submit", place.file(), "--set", "spec.workers.max=2")
        assert (printed.code, "[job-ended]" in printed.err) == (2, True)
        assert place.run("submit", place.file()).out.endswith("unchanged\n")

    @pytest.mark.parametrize(
        ("state", "code", "said"), [("Succeeded", 0, "final loss 3.2100"), ("Failed", 1, "error: Failed after 10")]
    )
    def test_with_watch_follows_to_the_end_and_tells_it(
        self, place: CommandPlace, state: str, code: int, said: str
    ) -> None:
        def operator() -> None:
            eventually(lambda: place.kubectl.run("get", "pretrainjob", "gpt", "-n", place.namespace).returncode == 0)
            place.status("gpt", **TRAINING)
            ending = ended(state, "Failed after 10 failures in 3600 s.")
            place.status("gpt", **{**TRAINING, **ending})

        acting = threading.Thread(target=operator)
        acting.start()
        printed = place.run("submit", place.file(), "--watch")
        acting.join()
        assert printed.code == code
        assert said in printed.out + printed.err
        assert "Collect: 5 documents in 1:30" in printed.err

    def test_with_wait_of_a_job_that_is_deleted_meanwhile_is_a_failure(self, place: CommandPlace) -> None:
        def person() -> None:
            eventually(lambda: place.kubectl.run("get", "pretrainjob", "gpt", "-n", place.namespace).returncode == 0)
            place.delete("job", "gpt")

        acting = threading.Thread(target=person)
        acting.start()
        printed = place.run("submit", place.file(), "--wait")
        acting.join()
        assert (printed.code, "gpt was deleted" in printed.err) == (1, True)


class TestList:
    def test_shows_the_columns_of_kubectl(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        place.status("gpt", **TRAINING)
        header, row = place.run("list").out.splitlines()
        assert header.split() == place.kubectl("get", "pretrainjobs", "-n", place.namespace).splitlines()[0].split()
        assert row.split()[:7] == ["gpt", "Training", "50/100", "3.2100", "2560", "tokens/s", "3/4"]

    def test_of_one_namespace_or_all(self, place: CommandPlace, api_server: ControlPlane) -> None:
        other = new_namespace(api_server)
        place.submitted("here")
        assert place.run("submit", place.file("there"), "-n", other).code == 0
        assert place.run("list", "-o", "name").out == "pretrainjob.pretrain.dev/here\n"
        names = [line.split()[:2] for line in place.run("list", "-A").out.splitlines()]
        assert [place.namespace, "here"] in names
        assert [other, "there"] in names

    def test_by_label_and_in_other_forms(self, place: CommandPlace) -> None:
        place.submitted("one", "two")
        place.kubectl("label", "pretrainjob", "one", "-n", place.namespace, "team=search")
        assert (
            json.loads(place.run("list", "-l", "team=search", "-o", "json").out)["items"][0]["metadata"]["name"]
            == "one"
        )
        assert len(yaml.safe_load(place.run("list", "-o", "yaml").out)["items"]) == 2
        assert "STORAGE" in place.run("list", "-o", "wide").out

    def test_of_nothing_says_so_beside_the_data(self, place: CommandPlace) -> None:
        printed = place.run("list")
        assert (printed.code, printed.out) == (0, "")
        assert printed.err == f"No PretrainJobs in namespace {place.namespace}.\n"

    def test_with_watch_goes_on_printing_changes_though_the_api_server_restarts(
        self, place: CommandPlace, api_server: ControlPlane
    ) -> None:
        place.submitted("gpt")
        watching = subprocess.Popen(
            [PROGRAMS / "pretrain", "list", "--watch"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline().startswith("NAME")
            assert watching.stdout.readline().startswith("gpt")
            place.status("gpt", state="Collecting")
            assert "Collecting" in watching.stdout.readline()
            assert api_server.server is not None
            api_server.server.stop()
            api_server.start_server()
            place.status("gpt", state="Preparing")
            assert "Preparing" in watching.stdout.readline()
        finally:
            watching.terminate()
            watching.communicate()


class TestGet:
    def test_shows_one_or_several(self, place: CommandPlace) -> None:
        place.submitted("one", "two")
        assert [line.split()[0] for line in place.run("get", "one", "two").out.splitlines()] == ["NAME", "one", "two"]
        assert "managedFields" not in place.run("get", "one", "-o", "yaml").out

    def test_what_is_missing_does_not_hide_the_rest(self, place: CommandPlace) -> None:
        place.submitted("one")
        printed = place.run("get", "one", "onne")
        assert (printed.code, "one" in printed.out) == (2, True)
        assert "no PretrainJob is called onne. Did you mean one? [no-such-job]" in printed.err

    def test_with_watch_ends_when_the_job_is_deleted(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        deleting = threading.Timer(1.0, place.delete, ("job", "gpt"))
        deleting.start()
        printed = place.run("get", "gpt", "--watch", "-o", "name")
        deleting.join()
        assert (printed.code, printed.out) == (0, "pretrainjob.pretrain.dev/gpt\n")
        assert "deleted" in printed.err


class TestDescribe:
    def test_tells_everything_in_one_place(self, place: CommandPlace, kubelet: Kubelet) -> None:
        place.submitted("gpt")
        place.status("gpt", **TRAINING)
        place.pod("gpt", kubelet.node)
        place.event("PretrainJob", "gpt", "StageStarted", "Train starts again from step 40.")
        place.event("Pod", "gpt-w3-1", "OOMKilling", "Memory cgroup out of memory", warning=True)
        place.event("Pod", "gpt-2-w0-1", "Scheduled", "of another job whose name begins the same")
        text = place.run("describe", "gpt").out
        for part in (
            "gpt: Training", "storage     s3://bucket/gpt", "Collect   Complete   01-01 12:00:00, 1:30", "5 documents",
            "generation 2, 3 of 4 workers ready", "step 50/100, loss 3.2100", "checkpoint  step 40",
            "1 failure (1 in the window), 2 disruptions", "OutOfMemory; worker gpt-w3-1 on node a17, rank 26",
            "CUDA out of memory", "Pods (1 Running)", f"gpt-w0-1   Running   {kubelet.node}",
            "Train starts again from step 40.", "Memory cgroup out of memory",
        ):  # fmt: skip
            assert part in text, f"{part!r} is not in:\n{text}"
        assert "another job" not in text

    def test_for_programs_lists_the_job_its_pods_and_its_events(self, place: CommandPlace, kubelet: Kubelet) -> None:
        place.submitted("gpt")
        place.pod("gpt", kubelet.node)
        place.event("PretrainJob", "gpt", "StageStarted", "Train starts.")
        found = json.loads(place.run("describe", "gpt", "-o", "json").out)
        assert [item["kind"] for item in found["items"]] == ["PretrainJob", "Pod", "Event"]
        assert all("managedFields" not in item["metadata"] for item in found["items"])
        assert yaml.safe_load(place.run("describe", "gpt", "-o", "yaml").out)["items"] == found["items"]

    def test_of_several_jobs_tells_each_and_what_is_missing(self, place: CommandPlace) -> None:
        place.submitted("one", "two")
        printed = place.run("describe", "one", "onne", "two")
        assert (printed.code, "[no-such-job]" in printed.err) == (2, True)
        assert "one: Pending" in printed.out
        assert "\n\n\ntwo: Pending" in printed.out

    def test_of_a_job_that_no_operator_has_seen_says_so(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        assert "is pretrain-operator installed" in place.run("describe", "gpt").out


class TestWait:
    @pytest.mark.parametrize(
        ("aim", "status", "code", "said"),
        [
            ("condition=Succeeded", ended("Succeeded", "done"), 0, "gpt condition=Succeeded reached"),
            ("condition=Succeeded", ended("Failed", "out of memory"), 1, "not reached: it has failed: out of memory"),
            ("state=Training", TRAINING, 0, "reached"),
            ("checkpoint", TRAINING, 0, "reached"),
            ("step=50", TRAINING, 0, "reached"),
            ("step=1000", TRAINING, 1, "it trains for 100 steps only"),
            ("state=Collecting", TRAINING, 1, "Collect is complete; it is Training"),
        ],
    )
    def test_ends_as_soon_as_it_is_known(
        self, place: CommandPlace, aim: str, status: dict[str, Any], code: int, said: str
    ) -> None:
        place.submitted("gpt")
        acting = threading.Timer(0.5, place.status, ("gpt",), status)
        acting.start()
        printed = place.run("wait", "gpt", "--for", aim, "--timeout", "60s")
        acting.join()
        assert printed.code == code
        assert said in printed.out + printed.err

    def test_is_over_in_time(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        printed = place.run("wait", "gpt", "--for", "state=Training", "--timeout", "0")
        assert (printed.code, "not in time; it is Pending" in printed.err) == (1, True)
        assert place.run("wait", "gpt", "--for", "state=Training", "--timeout", "1s").code == 1

    def test_for_several_jobs_ends_at_the_first_that_cannot(self, place: CommandPlace) -> None:
        place.submitted("one", "two")
        place.status("two", **ended("Failed", "no"))
        printed = place.run("wait", "one", "two", "--for", "condition=Succeeded", "--timeout", "60s")
        assert (printed.code, "two" in printed.err) == (1, True)

    def test_for_a_job_that_is_deleted_meanwhile_is_in_vain(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        acting = threading.Timer(0.5, place.delete, ("job", "gpt"))
        acting.start()
        printed = place.run("wait", "gpt", "--for", "checkpoint", "--timeout", "60s")
        acting.join()
        assert (printed.code, "the job was deleted" in printed.err) == (1, True)

    def test_for_deletion(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        assert place.run("wait", "gpt", "--for", "delete", "--timeout", "0").code == 1
        acting = threading.Timer(0.5, place.delete, ("job", "gpt"))
        acting.start()
        assert place.run("wait", "gpt", "--for", "delete", "--timeout", "60s").code == 0
        acting.join()
        assert place.run("wait", "gpt", "--for", "delete").code == 0


class TestSuspendAndResume:
    def test_write_one_field_and_wait_for_its_effect(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        place.status("gpt", **TRAINING)
        acting = threading.Timer(0.5, place.status, ("gpt",), {"state": "Suspended"})
        acting.start()
        printed = place.run("suspend", "gpt", "--wait", "--timeout", "60s")
        acting.join()
        assert (printed.code, printed.out.splitlines()[-1]) == (0, "pretrainjob.pretrain.dev/gpt is Suspended")
        assert place.kubectl.get("pretrainjob", "gpt", "-n", place.namespace)["spec"]["suspend"] is True
        assert place.run("suspend", "gpt").out.endswith("suspended already\n")
        assert place.run("resume", "gpt").out.endswith("resumed\n")
        assert place.kubectl.get("pretrainjob", "gpt", "-n", place.namespace)["spec"]["suspend"] is False

    def test_outlive_a_later_submit_that_does_not_speak_of_it(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        assert place.run("suspend", "gpt").code == 0
        assert place.run("submit", place.file()).out.endswith("unchanged\n")
        printed = place.run("submit", place.file(suspend=False))
        assert (printed.code, "`pretrain resume gpt`" in printed.err) == (2, True)

    def test_of_all_leave_out_those_that_have_ended(self, place: CommandPlace) -> None:
        place.submitted("one", "two")
        place.status("two", **ended("Succeeded", "done"))
        assert place.run("suspend", "--all").out == "pretrainjob.pretrain.dev/one suspending\n"
        printed = place.run("suspend", "two")
        assert (printed.code, "it has succeeded; there is nothing to suspend" in printed.err) == (2, True)


class TestDelete:
    def test_returns_when_the_job_is_gone(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        assert place.run("delete", "gpt").out == 'pretrainjob.pretrain.dev "gpt" deleted\n'
        assert place.run("list", "-o", "name").out == ""

    @pytest.mark.parametrize(
        ("names", "code"),
        [(("",), "bad-name"), (("one", ""), "bad-name"), (("../pretrainjobs",), "no-such-job")],
    )
    def test_of_what_is_no_name_deletes_nothing_else(
        self, place: CommandPlace, names: tuple[str, ...], code: str
    ) -> None:
        """An empty one would be the address of all of them."""
        place.submitted("one", "two")
        printed = place.run("delete", *names, "--no-wait")
        assert printed.code == 2, printed
        assert f"[{code}]" in printed.err, printed
        assert "pretrainjob.pretrain.dev/two" in place.run("list", "-o", "name").out

    def test_says_when_finalizers_hold_the_job(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        held = '{"metadata":{"finalizers":["pretrain.dev/operator"]}}'
        place.kubectl("patch", "pretrainjob", "gpt", "-n", place.namespace, "--type=merge", "-p", held)
        printed = place.run("delete", "gpt", "--timeout", "1s")
        assert (printed.code, "Is the operator running?" in printed.err) == (1, True)
        assert place.run("delete", "gpt", "--no-wait").code == 0
        free = '{"metadata":{"finalizers":[]}}'
        place.kubectl("patch", "pretrainjob", "gpt", "-n", place.namespace, "--type=merge", "-p", free)
        assert place.run("delete", "gpt", "--ignore-not-found").code == 0

    def test_of_those_with_a_label(self, place: CommandPlace) -> None:
        place.submitted("one", "two")
        place.kubectl("label", "pretrainjob", "one", "-n", place.namespace, "draft=yes")
        assert place.run("delete", "-l", "draft=yes").code == 0
        assert place.run("list", "-o", "name").out == "pretrainjob.pretrain.dev/two\n"

    def test_leaves_the_children_when_told_to(self, place: CommandPlace) -> None:
        place.submitted("gpt")
        assert place.run("delete", "gpt", "--cascade", "orphan", "--no-wait").code == 0
        # The garbage collector, which does not run here, would take it off.
        assert json.loads(place.run("get", "gpt", "-o", "json").out)["metadata"]["finalizers"] == ["orphan"]


class TestKubectlPlugin:
    def test_is_the_same_command(self, place: CommandPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        place.submitted("gpt")
        monkeypatch.setenv("PATH", str(PROGRAMS), prepend=":")
        assert (
            place.kubectl("pretrain", "list", "-o", "name", "-n", place.namespace) == "pretrainjob.pretrain.dev/gpt\n"
        )
        assert place.kubectl("pretrain", "wait", "--help").startswith("Usage: kubectl pretrain wait [OPTIONS] NAME...")

    def test_completes_through_kubectl(self, place: CommandPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        place.submitted("gpt-large", "gpt-small")
        monkeypatch.setenv("PATH", str(PROGRAMS), prepend=":")
        words = ("__complete", "pretrain", "describe", "-n", place.namespace, "gpt-s")
        assert place.kubectl(*words).splitlines()[0] == "gpt-small"


class TestCompletion:
    def test_knows_the_jobs_that_are_not_written_yet(self, place: CommandPlace) -> None:
        place.submitted("gpt-large", "gpt-small")
        complete(["delete", "gpt-large", ""])
        assert place.capture.readouterr().out.splitlines() == [b"gpt-small", b":4"]

    def test_knows_the_contexts(self, place: CommandPlace) -> None:
        (context,) = json.loads(place.kubeconfig.read_text())["contexts"]
        complete(["list", "--context", ""])
        assert place.capture.readouterr().out.decode().splitlines() == [context["name"], ":4"]

    def test_is_silent_where_there_is_no_cluster(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", "/nowhere")
        complete(["describe", ""])
        printed = capsys.readouterr()
        assert (printed.out, printed.err) == (":4\n", "")


def test_ctrl_c_leaves_a_watched_job_alone(place: CommandPlace) -> None:
    watching = subprocess.Popen(
        [PROGRAMS / "pretrain", "submit", place.file(), "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert watching.stdout.readline() == "pretrainjob.pretrain.dev/gpt created\n"
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=60)
    assert (watching.returncode, "Traceback" in said) == (130, False)
    assert place.run("list", "-o", "name").out == "pretrainjob.pretrain.dev/gpt\n"
