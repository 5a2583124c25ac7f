"""A run's steps in the tools' own formats, read back by the tools' own readers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.eventually import eventually
from support.finished_runs import FinishedRun, record
from support.wandb_files import records

from pretrain_api import layout, step_history
from pretrain_api.storage import Storage

PRETRAIN = str(Path(sys.executable).parent / "pretrain")


def expected(storage: Storage) -> list[dict[str, Any]]:
    """The steps that stand, as the run's history has them."""
    return list(step_history.read_steps(storage, step_history.commits(storage)))


def tracked(run: FinishedRun, tool: str, folder: Path, *options: str, **variables: str) -> str:
    command = [PRETRAIN, "track", run.storage.root, "--to", tool, "--folder", str(folder), *options]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def scalars(folder: Path) -> Mapping[str, list[tuple[int, float]]]:
    """What TensorBoard shows: the reader behind its page."""
    from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), tensor_size_guidance={"scalars": 0})
    found.Reload()
    names = [name for name in found.Tags()["tensors"] if not name.startswith("job")]
    return {name: [(e.step, float(e.tensor_proto.float_val[0])) for e in found.Tensors(name)] for name in names}


def wandb_history(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of an offline run in the order of their files, and its settings."""
    rows: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for entry in records(file):
            kind = entry.WhichOneof("record_type")
            if kind == "history":
                rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in entry.history.item})
            elif kind == "run":
                config |= {i.key: json.loads(i.value_json) for i in entry.run.config.update}
    return rows, config


def mlflow_run(folder: Path) -> Any:
    """The only run of the experiment, and the client that found it."""
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(folder / "mlruns").absolute().as_uri())
    (experiment,) = [e for e in client.search_experiments() if e.name == "pretrain"]
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


@pytest.fixture
def recorded(own_run: FinishedRun) -> FinishedRun:
    record(own_run, "Succeeded")
    return own_run


class TestTensorBoard:
    def test_has_every_step_and_every_figure(self, recorded: FinishedRun, tmp_path: Path) -> None:
        assert "up to step 40" in tracked(recorded, "tensorboard", tmp_path / "events")
        found, lines = scalars(tmp_path / "events" / "t"), expected(recorded.storage)
        assert [step for step, _ in found["loss"]] == list(range(1, 41))
        assert [loss for _, loss in found["loss"]] == pytest.approx([line["loss"] for line in lines], rel=1e-6)
        assert [rate for _, rate in found["learning_rate"]] == pytest.approx(
            [s["learningRate"] for s in lines], rel=1e-6
        )
        assert {
            "loss_by_source/library",
            "loss_by_source/hostile",
            "gradient_norm",
            "tokens_per_second",
            "tokens",
        } <= set(found)
        assert [step for step, _ in found["validation_loss/library"]] == [10, 20, 30, 40]

    def test_another_export_shows_each_step_once(self, recorded: FinishedRun, tmp_path: Path) -> None:
        for _ in range(2):
            tracked(recorded, "tensorboard", tmp_path)
        assert [step for step, _ in scalars(tmp_path / "t")["loss"]] == list(range(1, 41))


class TestWandb:
    def test_has_every_step_and_the_job_s_settings(self, recorded: FinishedRun, tmp_path: Path) -> None:
        tracked(recorded, "wandb", tmp_path, "--project", "search")
        rows, config = wandb_history(tmp_path)
        lines = expected(recorded.storage)
        assert [row["step"] for row in rows] == list(range(1, 41))
        assert [row["loss"] for row in rows] == pytest.approx([line["loss"] for line in lines])
        assert rows[9]["validation_loss/library"] == pytest.approx(lines[9]["validation"]["library"])
        assert config["training.steps"] == 40


class TestMlflow:
    def test_has_every_step_and_the_job_s_settings(self, recorded: FinishedRun, tmp_path: Path) -> None:
        tracked(recorded, "mlflow", tmp_path)
        client, run = mlflow_run(tmp_path)
        history = client.get_metric_history(run.info.run_id, "loss")
        assert [metric.step for metric in history] == list(range(1, 41))
        assert [metric.value for metric in history] == pytest.approx([s["loss"] for s in expected(recorded.storage)])
        assert [metric.timestamp for metric in history] == sorted(metric.timestamp for metric in history)
        assert run.data.params["training.steps"] == "40"
        assert (run.info.status, run.data.tags["pretrain.state"]) == ("FINISHED", "Succeeded")

    def test_another_export_goes_on_and_repeats_nothing(self, recorded: FinishedRun, tmp_path: Path) -> None:
        tracked(recorded, "mlflow", tmp_path)
        assert "no new steps" in tracked(recorded, "mlflow", tmp_path)
        client, run = mlflow_run(tmp_path)
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 40


class TestFollowing:
    def test_ends_with_the_run_and_takes_in_what_came_meanwhile(self, own_run: FinishedRun, tmp_path: Path) -> None:
        """The last commit appears while the export follows."""
        log = Path(own_run.storage.path(layout.COMMIT_LOG))
        last = max(log.iterdir(), key=lambda path: path.name)
        shutil.move(last, tmp_path / last.name)
        record(own_run, "Training")
        command = [PRETRAIN, "track", own_run.storage.root, "--to", "mlflow", "--folder", str(tmp_path), "--follow"]
        following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        eventually(lambda: list(tmp_path.glob("mlruns/*/*/meta.yaml")), bool, 120)
        shutil.move(tmp_path / last.name, last)
        record(own_run, "Succeeded")
        assert "up to step 40" in following.communicate(timeout=120)[0]
        assert following.returncode == 0
        client, run = mlflow_run(tmp_path)
        assert max(m.step for m in client.get_metric_history(run.info.run_id, "loss")) == 40


def test_a_tool_that_is_not_installed_is_told(recorded: FinishedRun, tmp_path: Path) -> None:
    (tmp_path / "wandb.py").write_text("raise ImportError('no wandb here')")
    command = [PRETRAIN, "track", recorded.storage.root, "--to", "wandb", "--folder", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "pip install 'pretrain-operator[trainer,wandb]'. [tracker-not-installed]" in done.stderr


class TestDamagedRuns:
    @pytest.mark.parametrize("command", [("report",), ("track", "--to", "tensorboard", "--folder", "events")])
    def test_a_damaged_history_is_named(self, recorded: FinishedRun, tmp_path: Path, command: tuple[str, ...]) -> None:
        (history,) = list((Path(recorded.storage.root) / layout.CHECKPOINT_HISTORY).glob("*/*.jsonl"))[:1]
        history.write_bytes(b'{"step": 1}\n[1]\n')
        done = subprocess.run(
            [PRETRAIN, command[0], recorded.storage.root, *command[1:]],
            capture_output=True, text=True, check=False, timeout=200, cwd=tmp_path,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert history.name in done.stderr
        assert "[run-unreadable]" in done.stderr

    def test_a_folder_that_takes_no_files_is_named(self, recorded: FinishedRun) -> None:
        for tool in ("tensorboard", "mlflow"):
            command = [PRETRAIN, "track", recorded.storage.root, "--to", tool, "--folder", "/proc/x"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
            assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
            assert "--folder: /proc/x takes no files: No such file or directory." in done.stderr

    def test_a_garbled_manifest_is_named(self, recorded: FinishedRun) -> None:
        (manifest, *_) = Path(recorded.storage.root).glob(f"shards/*/*/{layout.MANIFEST}")
        manifest.write_bytes(b"{")
        done = subprocess.run(
            [PRETRAIN, "report", recorded.storage.root], capture_output=True, text=True, check=False, timeout=200
        )
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert str(manifest) in done.stderr
        assert "[manifest-broken]" in done.stderr
