"""The whole pipeline on real text: what it makes, and that kills change nothing."""

import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from support.corpora import mixed_corpus
from support.eventually import eventually
from support.exports import generated

PRETRAIN = str(Path(sys.executable).parent / "pretrain")
SEED = int(os.environ.get("PRETRAIN_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
"""Of the corpus and the kills; printed by a failing test. Set PRETRAIN_TEST_SEED to replay."""

pytestmark = pytest.mark.slow


def a_job(storage: Path, corpus: dict[str, str]) -> dict[str, Any]:
    fields = {"web": "text", "code": "content", "crawl": "text"}
    return {
        "apiVersion": "pretrain.dev/v1alpha1",
        "kind": "PretrainJob",
        "metadata": {"name": "pipeline"},
        "spec": {
            "storage": {"uri": str(storage)},
            "data": {
                "sources": [
                    {"name": name, "documents": documents, "weight": n + 1, "fields": {"text": fields[name]}}
                    for n, (name, documents) in enumerate(corpus.items())
                ],
                "prepare": {"deduplicate": {"exact": {}, "minhash": {}}, "pii": {"mask": ["email"]}},
                "validation": {"fraction": 0.05},
            },
            "tokenizer": {"train": {"vocabSize": 600}},
            "model": {
                "config": {
                    "model_type": "llama",
                    "hidden_size": 64,
                    "intermediate_size": 128,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 4,
                    "num_key_value_heads": 2,
                    "max_position_embeddings": 128,
                    "vocab_size": 640,
                    "tie_word_embeddings": True,
                }
            },
            "objective": {"causalLM": {}},
            "training": {
                "sequenceLength": 64,
                "globalBatchSize": 8,
                "microBatchSize": 2,
                "steps": 200,
                "optimizer": {"adamw": {"learningRate": 3e-3}},
                "schedule": {"warmupSteps": 10},
            },
            "workers": {"processesPerWorker": 2},
            "checkpoint": {"everySeconds": 1, "keepLast": 2},
            "evaluation": {"everySteps": 40},
            "recovery": {"maxFailures": 100},
        },
    }


@dataclass
class Run:
    """One run directory and the command that works on it."""

    folder: Path
    corpus: dict[str, str]

    @property
    def storage(self) -> Path:
        return self.folder / "run"

    def start(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        job = self.folder / "job.yaml"
        job.write_text(yaml.safe_dump(a_job(self.storage, self.corpus)))
        with (self.folder / "output.log").open("ab") as log:
            return subprocess.Popen([PRETRAIN, "run", str(job)], stdout=log, stderr=log, start_new_session=True)

    def finish(self) -> dict[str, Any]:
        process = self.start()
        code = process.wait(timeout=500)
        assert code == 0, f"seed {SEED}: exit {code}\n{self.output()[-3000:]}"
        return self.report()

    def output(self) -> str:
        return (self.folder / "output.log").read_text()

    def report(self) -> dict[str, Any]:
        return json.loads((self.storage / "report" / "report.json").read_text())

    def weights(self) -> str:
        exported = self.storage / "export" / "huggingface" / "model.safetensors"
        return hashlib.sha256(exported.read_bytes()).hexdigest()


def losses(report: dict[str, Any]) -> list[tuple[int, float]]:
    return [(step["step"], step["loss"]) for step in report["training"]["steps"]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    print(f"seed {SEED}")
    return mixed_corpus(tmp_path_factory.mktemp("corpus"), SEED)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, corpus: dict[str, str]) -> Run:
    run = Run(tmp_path_factory.mktemp("undisturbed"), corpus)
    run.finish()
    return run


class TestAnUndisturbedRun:
    def test_every_stage_is_complete_and_counts_what_went_through(self, undisturbed: Run) -> None:
        stages = {stage["name"]: stage for stage in undisturbed.report()["stages"]}
        names = ["Collect", "Prepare", "Tokenizer", "Encode", "Train", "Evaluate", "Export"]
        assert [stages[name]["state"] for name in names] == ["Complete"] * len(names)
        assert stages["Collect"]["documentsOut"] == stages["Prepare"]["documentsIn"] > 200
        assert 0 < stages["Prepare"]["documentsOut"] <= stages["Prepare"]["documentsIn"]

    def test_the_history_holds_each_step_once_and_the_loss_falls(self, undisturbed: Run) -> None:
        history = losses(undisturbed.report())
        assert [step for step, _ in history] == list(range(1, 201))
        # A single step sees 512 tokens: its loss is anything within 0.4 of the steps around it.
        assert statistics.fmean(loss for _, loss in history[-20:]) < history[0][1] - 1.0

    def test_the_losses_on_held_out_documents_are_near_those_of_training(self, undisturbed: Run) -> None:
        steps = {step["step"]: step for step in undisturbed.report()["training"]["steps"]}
        for step in (40, 80):
            for source, loss in steps[step]["validation"].items():
                assert loss == pytest.approx(steps[step]["loss"], abs=1.5), (step, source)

    def test_the_model_beats_its_start_and_stands_beside_the_baselines(self, undisturbed: Run) -> None:
        for source, figures in undisturbed.report()["evaluation"].items():
            assert 0 < figures["bitsPerByte"] < 8, source
            assert set(figures["baselines"]) == {"gzip", "xz", "byte5gram"}, source

    def test_the_exported_model_generates_text(self, undisturbed: Run) -> None:
        export = undisturbed.storage / "export" / "huggingface"
        assert generated(export, "def ").startswith("def ")

    def test_running_it_again_skips_everything(self, undisturbed: Run) -> None:
        before = undisturbed.weights()
        undisturbed.finish()
        assert undisturbed.weights() == before

    def test_nothing_is_left_behind(self, undisturbed: Run) -> None:
        assert not list(undisturbed.storage.glob(".scratch/*"))
        assert not list(undisturbed.storage.rglob("*.tmp"))


class TestKilledAtRandom:
    def test_four_kills_change_neither_losses_nor_weights(
        self, tmp_path: Path, corpus: dict[str, str], undisturbed: Run
    ) -> None:
        seconds = sum(stage["seconds"] for stage in undisturbed.report()["stages"])
        rng = random.Random(SEED)
        run = Run(tmp_path / "killed", corpus)
        for _ in range(4):
            process = run.start()
            kill_something(process, rng, after_seconds=rng.uniform(0.5, max(seconds / 2, 6)))
            end(process)
        report = run.finish()
        assert losses(report) == losses(undisturbed.report()), f"seed {SEED}"
        assert report["training"]["parametersSha256"] == undisturbed.report()["training"]["parametersSha256"]
        assert run.weights() == undisturbed.weights()


def kill_something(process: subprocess.Popen[bytes], rng: random.Random, after_seconds: float) -> None:
    """SIGKILL the driver or any process below it."""
    try:
        process.wait(timeout=after_seconds)
    except subprocess.TimeoutExpired:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        victim = rng.choice(family)
        print(f"seed {SEED}: after {after_seconds:.1f} s killing {victim}")
        victim.kill()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the driver and see that all that it started dies with it."""
    family = []
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    eventually(
        lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family), within_seconds=20
    )
