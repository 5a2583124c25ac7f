"""`pretrain run` with real stage programs: whatever ends at whatever moment, the same command goes on."""

import json
import shutil
import signal
from pathlib import Path

import psutil
import pytest
import yaml
from support.eventually import eventually
from support.jobs import JobBuilder, a_job
from support.local_runs import LocalRun
from support.token_runs import commits

from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import audit

ENDLESS = 1_000_000
"""Steps: training that does not end by itself while a test looks."""


def no_orphans(found: list[psutil.Process]) -> None:
    """Wait until the programs of a run are gone."""
    eventually(
        lambda: [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], lambda left: not left, 10
    )


@pytest.mark.slow
class TestTraining:
    def test_goes_on_after_every_way_to_be_interrupted(self, tmp_path: Path) -> None:
        storage, job = tmp_path / "run", a_job().stored_in(tmp_path / "run").with_steps(ENDLESS, processes=2)

        # Ctrl-C: a checkpoint, exit code 130, and the command that goes on.
        run = LocalRun(tmp_path, job).until("Training")
        found = run.programs()
        assert len(run.ranks()) == 2
        assert run.signalled(signal.SIGINT).exit_code() == 130
        assert "stopping after a checkpoint; press Ctrl-C again to stop at once" in run.output
        assert "goes on where it was" in run.output
        assert run.status["state"] == "Suspended"
        saved = run.status["checkpoint"]["step"]
        assert saved > 0
        no_orphans(found)

        # kill -9 of the command: every program dies with it; completed stages are not done again.
        run = LocalRun(tmp_path, job).until("Training")
        assert run.output.count("skipped (done before)") == 4
        eventually(lambda: run.output, lambda output: f"resumed at step {saved}" in output)
        assert run.status["suspendedSeconds"] >= 0
        found = run.programs()
        run.signalled(signal.SIGKILL).exit_code()
        no_orphans(found)

        # kill -9 of a rank: it is started again in place, from memory.
        run = LocalRun(tmp_path, job).until("Training")
        assert run.status["recovery"]["disruptions"] == 1
        begun = run.stage("Train")["attempts"]
        run.ranks()[1].kill()
        record = eventually(lambda: run.status["recovery"].get("lastRecovery"))
        assert (record["kind"], record["rank"], record["worker"]) == ("Restart", 1, "test-w0")
        assert record["cause"] == "exit -9 (SIGKILL)"
        assert (run.status["recovery"]["restarts"], run.status["recovery"]["failures"]) == (1, 0)
        eventually(lambda: run.output, lambda output: "after rank 1 was lost (exit -9 (SIGKILL))" in output)
        assert run.stage("Train")["attempts"] == begun

        # kill -9 of their agent, which takes them with it: a failure; training goes on from the checkpoint by itself.
        psutil.Process(run.ranks()[0].ppid()).kill()
        eventually(lambda: run.status["recovery"]["failures"], lambda n: n == 1)
        failed = run.status["recovery"]["lastFailure"]
        assert (failed["stage"], failed["rank"], failed["worker"]) == ("Train", -1, "test-w0")
        assert "exit -9 (SIGKILL)" in failed["message"]
        run.until("Training")
        assert run.stage("Train")["attempts"] == begun + 1

        # SIGTERM to a rank from outside: a disruption; it saves, leaves and is started again.
        run.ranks()[0].terminate()
        eventually(lambda: run.stage("Train")["attempts"], lambda n: n == begun + 2)
        assert run.status["recovery"]["disruptions"] == 2
        assert run.status["recovery"]["failures"] == 1
        run.until("Training")

        # A second command on the same storage is refused and changes nothing.
        second = LocalRun(tmp_path / "second", job)
        assert second.exit_code() == 2
        assert f"process {run.process.pid} already runs" in second.output
        assert "[already-running]" in second.output

        # Two Ctrl-C: at once.
        found = run.programs()
        run.signalled(signal.SIGINT)
        eventually(lambda: "stopping after" in run.output)
        assert run.signalled(signal.SIGINT).exit_code(within_seconds=10) == 130
        no_orphans(found)

        # Other settings: refused with what changed and what would run again, nothing written.
        accepted, recorded = (storage / "run.json").read_bytes(), (storage / "status.json").read_bytes()
        changed = job.with_spec(tokenizer={"train": {"vocabSize": 400}})
        refused = LocalRun(tmp_path / "changed", changed)
        assert refused.exit_code() == 2
        assert "spec.tokenizer.train.vocabSize: 512 -> 400" in refused.output
        assert "would run again: Tokenizer, Encode, Train" in refused.output
        assert "--accept-changes" in refused.output
        assert ((storage / "run.json").read_bytes(), (storage / "status.json").read_bytes()) == (accepted, recorded)

    def test_takes_an_edit_of_weights_from_the_sample_on_that_it_goes_on_with(self, tmp_path: Path) -> None:
        def weighing(json_weight: int) -> JobBuilder:
            sources = [
                {"name": "json", "documents": "python://lib/json/*.py", "weight": json_weight},
                {"name": "email", "documents": "python://lib/email/*.py"},
            ]
            job = a_job().stored_in(tmp_path / "run").with_steps(ENDLESS)
            return job.with_spec(data={"sources": sources}, checkpoint={"everySeconds": 1})

        def committed_with(segments: int) -> None:
            """Wait for a commit whose history has so many weights."""
            eventually(
                lambda: [len(commit["segments"]) for commit in commits(tmp_path / "run")][-1:],
                lambda newest: newest == [segments],
                within_seconds=120,
            )

        run = LocalRun(tmp_path, weighing(3))
        committed_with(1)
        # A mistake on the way is told, and changes nothing.
        run.file.write_text("spec: [")
        eventually(lambda: run.output, lambda output: "was edited; the job goes on as it was: " in output)
        run.file.write_text(yaml.safe_dump(weighing(1).manifest))
        committed_with(2)
        assert "was edited: saving what there is, and going on with it" in run.output
        assert "changed: spec.data.sources[name=json].weight: 3.0 -> 1.0" in run.output
        assert run.signalled(signal.SIGINT).exit_code() == 130, run.output
        segments = commits(tmp_path / "run")[-1]["segments"]
        assert [segment["weights"] for segment in segments] == [[3, 1], [1, 1]]
        assert segments[1]["start"] > 0
        found = audit(Storage(str(tmp_path / "run")))
        assert (found.weights, found.differences) == (2, ())


class TestStages:
    def test_of_a_whole_run_are_skipped_the_second_time(self, tmp_path: Path) -> None:
        job = a_job().stored_in(tmp_path / "run")
        first = LocalRun(tmp_path, job)
        assert first.exit_code(within_seconds=300) == 0, first.output
        times = [(s["startTime"], s["completionTime"], s["fingerprint"]) for s in first.status["stages"]]

        second = LocalRun(tmp_path, job)
        assert second.exit_code() == 0, second.output
        assert second.output.count("skipped (done before)") == 8
        assert second.status["state"] == "Succeeded"
        assert [s["fingerprint"] for s in second.status["stages"]] == [fingerprint for *_, fingerprint in times]

        # A removed folder is a run that never was.
        shutil.rmtree(tmp_path / "run")
        third = LocalRun(tmp_path, job).until("Preparing")

        # Removed under a running job, it ends that job with a clear error and leaves nothing running.
        found = third.programs()
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        assert third.exit_code() == 2
        assert "[storage-vanished]" in third.output
        no_orphans(found)

    def test_mended_after_a_user_s_mistake_need_no_further_option(self, tmp_path: Path) -> None:
        job = a_job().stored_in(tmp_path / "run")
        wrong = job.with_spec(data={"sources": [{"name": "lib", "documents": str(tmp_path / "nothing-*.txt")}]})
        run = LocalRun(tmp_path, wrong)
        assert run.exit_code() == 2
        assert "nothing-*.txt" in run.output
        assert run.status["state"] == "Failed"
        assert run.status["recovery"]["failures"] == 0

        run = LocalRun(tmp_path, job).until("Preparing")
        assert run.signalled(signal.SIGTERM).exit_code() == 143

    def test_suspended_in_the_file_do_not_start(self, tmp_path: Path) -> None:
        run = LocalRun(tmp_path, a_job().stored_in(tmp_path / "run").suspended())
        assert run.exit_code() == 0
        assert run.status["state"] == "Suspended"
        assert "Set it to false" in run.output
        assert not (tmp_path / "run" / "logs").exists()


class TestStorage:
    def test_that_holds_something_else_is_refused_untouched(self, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "thesis.txt").write_text("mine")
        run = LocalRun(tmp_path, a_job().stored_in(tmp_path / "home"))
        assert run.exit_code() == 2
        assert "[storage-not-empty]" in run.output
        assert "thesis.txt" in run.output
        assert [p.name for p in (tmp_path / "home").iterdir()] == ["thesis.txt"]

    def test_that_leads_through_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for place in ("file", "file/run"):
            run = LocalRun(tmp_path / "job", a_job().stored_in(tmp_path / place))
            assert run.exit_code() == 2
            assert "[storage-not-a-folder]" in run.output

    def test_that_may_not_be_written_is_refused(self, tmp_path: Path) -> None:
        run = LocalRun(tmp_path, a_job().stored_in(Path("/sys/pretrain-test")))  # not even root may write there
        assert run.exit_code() == 2
        assert "[no-permission]" in run.output

    def test_with_an_unreadable_run_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "run.json").write_text(json.dumps({"apiVersion": "pretrain.dev/v0"}))
        run = LocalRun(tmp_path, a_job().stored_in(tmp_path / "run"))
        assert run.exit_code() == 2
        assert "[run-unreadable]" in run.output
