"""`pretrain checkpoints` on a real run: what it shows, finds, removes and writes for others."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from support.eventually import eventually
from support.exports import generated
from support.finished_runs import FinishedRun
from support.saved_states import three_saved
from support.token_runs import commits
from torch.distributed.checkpoint.state_dict_loader import load

from pretrain_api.types import API_VERSION, KIND
from pretrain_trainer.training import world

PRETRAIN = str(Path(sys.executable).parent / "pretrain")


def pretrain(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([PRETRAIN, "checkpoints", *arguments], capture_output=True, text=True, check=False)


def answer(*arguments: str) -> list[dict]:
    done = pretrain(*arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    found: list[dict] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of steps 3, 6 and 9, without a job."""
    with world.join(1) as joined:
        return three_saved(tmp_path_factory.mktemp("saved"), joined)


@pytest.fixture
def three(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "three"))


@pytest.fixture
def root(own_run: FinishedRun) -> Path:
    return Path(own_run.storage.root)


class TestList:
    def test_yaml_says_the_same_as_json(self, three: Path) -> None:
        done = pretrain("list", str(three), "-o", "yaml")
        assert yaml.safe_load(done.stdout) == answer("list", str(three))

    def test_shows_each_checkpoint_in_a_line(self, root: Path) -> None:
        done = pretrain("list", str(root))
        head, *rows = done.stdout.splitlines()
        assert head.split() == ["STEP", "SAMPLES", "TOKENS", "START", "COMMITTED", "SIZE", "STATE"]
        assert rows[-1].split()[:4] == ["40", "320", "10,240", "1"]
        assert rows[-1].endswith("kept, final")

    def test_says_which_one_is_damaged_and_which_was_removed(self, root: Path) -> None:
        (root / commits(root)[-1]["data"] / "manifest.json").unlink()
        (found,) = answer("list", str(root))
        assert (found["step"], found["state"]) == (40, "damaged")
        assert found["reason"].endswith("manifest.json is missing")


class TestVerify:
    def test_reads_every_byte(self, root: Path) -> None:
        sound = pretrain("verify", str(root))
        assert (sound.returncode, sound.stdout.splitlines()[-1]) == (0, "step 40: sound")
        (file,) = (root / commits(root)[-1]["data"]).glob("*.tensors")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        damaged = pretrain("verify", str(root), "--step", "40")
        assert damaged.returncode == 1
        assert damaged.stdout.startswith("step 40: damaged: checkpoints/data/")
        assert "does not have the checksum it was written with" in damaged.stdout
        file.write_bytes(bytes(content) + b"more")
        assert pretrain("verify", str(root)).returncode == 1


class TestDiff:
    def test_shows_what_differs_most_first(self, three: Path) -> None:
        done = pretrain("diff", str(three), "3", "9")
        assert done.returncode == 1, done.stderr
        title, first, *_ = done.stdout.splitlines()
        assert title == "3 tensors differ; relative: |b - a| / |a|"
        assert first.split() == ["2", "optimizer.n:", "1", "of", "1", "elements,", "by", "up", "to", "6"]

    def test_a_checkpoint_has_the_same_bits_as_itself(self, three: Path) -> None:
        done = pretrain("diff", str(three), "6", "6")
        assert (done.returncode, done.stdout) == (0, "step 6 and step 6: every tensor has the same bits\n")


class TestPrune:
    def test_says_what_it_would_remove_and_removes_it_when_told_to(self, three: Path) -> None:
        would = pretrain("prune", str(three), "--keep-last", "1")
        assert would.stdout.startswith("would remove 2 checkpoints of steps 3, 6, ")
        assert [entry["state"] for entry in answer("list", str(three))] == ["kept"] * 3
        assert pretrain("prune", str(three), "--keep-last", "1", "--yes").stdout.startswith("removed 2 checkpoints")
        assert [entry["step"] for entry in answer("list", str(three))] == [9]
        assert [e["state"] for e in answer("list", str(three), "--all")] == ["removed", "removed", "kept"]
        assert pretrain("prune", str(three), "--keep-last", "1", "--yes").stdout == "nothing to remove\n"

    def test_the_newest_whole_one_stays_though_a_newer_one_is_damaged(self, three: Path) -> None:
        """By a bit, which shows in no name and no size: the newest is read before others are removed."""
        (file,) = (three / commits(three)[-1]["data"]).glob("*.tensors")
        content = bytearray(file.read_bytes())
        content[10] ^= 1
        file.write_bytes(content)
        pretrain("prune", str(three), "--keep-last", "1", "--yes")
        assert [e["step"] for e in answer("list", str(three))] == [6, 9]
        assert pretrain("verify", str(three)).stdout.startswith("step 6: sound\nstep 9: damaged: ")

    def test_older_damaged_ones_go(self, three: Path) -> None:
        (three / commits(three)[0]["data"] / "manifest.json").unlink()
        pretrain("prune", str(three), "--keep-last", "2", "--yes")
        assert not (three / commits(three)[0]["data"]).exists()
        assert [e["step"] for e in answer("list", str(three), "--all") if e["state"] == "kept"] == [6, 9]


class TestConvert:
    def test_a_model_that_transformers_loads(self, own_run: FinishedRun, tmp_path: Path) -> None:
        job = {"apiVersion": API_VERSION, "kind": KIND, **json.loads(own_run.job.read_text())}
        own_run.job.write_text(json.dumps(job))
        done = pretrain("convert", str(own_run.job), str(tmp_path / "model"), "--to", "huggingface")
        assert (done.returncode, done.stdout) == (0, f"step 40: {tmp_path / 'model'}\n"), done.stderr
        assert generated(tmp_path / "model", "def ").startswith("def ")

        other = ["--set", "spec.model.config.num_attention_heads=1", "--to", "huggingface"]  # the same tensors
        wrong = pretrain("convert", str(own_run.job), str(tmp_path / "wrong"), *other)
        assert wrong.returncode == 2
        assert "[job-of-another-training]" in wrong.stderr
        assert not (tmp_path / "wrong").exists()

    @pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
    def test_a_checkpoint_that_torch_loads_with_the_optimizers_state(self, root: Path, tmp_path: Path) -> None:
        done = pretrain("convert", str(root), str(tmp_path / "plain"), "--to", "dcp", "--step", "40")
        assert done.returncode == 0, done.stderr
        manifest = json.loads((root / commits(root)[-1]["data"] / "manifest.json").read_text())["tensors"]
        state = {n: torch.empty(t["shape"], dtype=getattr(torch, t["dtype"])) for n, t in manifest.items()}
        load(state, checkpoint_id=tmp_path / "plain", no_dist=True)
        (file,) = (root / commits(root)[-1]["data"]).glob("*.tensors")
        content = file.read_bytes()
        for name, tensor in state.items():
            (chunk,) = manifest[name]["chunks"]
            own = content[chunk["start"] : chunk["start"] + chunk["bytes"]]
            assert tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() == own, name
        assert any(name.startswith("optimizer.") for name in state)

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("there", "there is something already. Name a folder that is not there yet."),
            ("there/file/x", "the folder cannot be made: File exists."),
            ("dangling", "there is something already."),
            ("run/checkpoints/data/x", "it lies among the run's own checkpoints."),
            ("s3://bucket", "it is a whole bucket. Name a folder in it, as s3://bucket/model."),
            ("foo://x/y", "its protocol cannot be used"),
        ],
    )
    def test_where_it_cannot_be_written_is_told_and_left_alone(
        self, three: Path, tmp_path: Path, target: str, said: str
    ) -> None:
        run = three.rename(tmp_path / "run")
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "file").write_text("mine")
        (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
        before = sorted(tmp_path.rglob("*"))
        place = target if "://" in target else str(tmp_path / target)
        done = pretrain("convert", str(run), place, "--to", "dcp")
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert said in done.stderr
        assert sorted(tmp_path.rglob("*")) == before

    def test_folders_of_similar_names_stay(self, three: Path, tmp_path: Path) -> None:
        for end in ("unfinished", "replaced"):
            (tmp_path / f"plain.{end}").mkdir()
        done = pretrain("convert", str(three), str(tmp_path / "plain"), "--to", "dcp", "-o", "json")
        assert json.loads(done.stdout) == {"step": 9, "folder": str(tmp_path / "plain"), "form": "dcp"}
        assert {"plain", "plain.unfinished", "plain.replaced"} <= {path.name for path in tmp_path.iterdir()}


def test_a_reader_that_leaves_is_no_traceback(three: Path) -> None:
    command = f"{PRETRAIN} checkpoints list {three} -o json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_ends_it_in_order(three: Path) -> None:
    with subprocess.Popen([PRETRAIN, "checkpoints", "verify", str(three)], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                          start_new_session=True, text=True) as program:  # fmt: skip
        eventually(lambda: psutil.Process(program.pid).children(), within_seconds=30)
        os.killpg(program.pid, signal.SIGINT)
        _, said = program.communicate(timeout=60)
    assert program.returncode in (0, 130)  # it may have been quicker
    assert "Traceback" not in said


def test_one_of_another_version_hides_no_other(three: Path) -> None:
    commit = commits(three)[0]
    path = three / commit["data"] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))
    commit["manifest_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (three / "checkpoints" / "log" / f"{commit['sequence']:012d}.json").write_text(json.dumps(commit))
    assert [e["state"] for e in answer("list", str(three))] == ["unreadable", "kept", "kept"]
    assert pretrain("diff", str(three), "6", "9").returncode == 1
    pretrain("prune", str(three), "--keep-last", "1", "--yes")
    assert [e["step"] for e in answer("list", str(three))] == [3, 9]


def test_what_is_not_there_is_told_with_what_is(root: Path, tmp_path: Path) -> None:
    for arguments, said in (
        (("verify", str(root), "--step", "7"), "--step: there is no checkpoint of step 7. These can be read: 40."),
        (("diff", str(root), "40", "3"), "STEP: there is no checkpoint of step 3. These can be read: 40."),
        (("list", str(tmp_path / "none")), "no training has committed here."),
        (("convert", str(root), str(tmp_path / "x"), "--to", "huggingface"), "no job has run here."),
    ):
        done = pretrain(*arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()
