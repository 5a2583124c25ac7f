"""Export of a real trained model: what loads, what equals the trained model, and what a kill leaves."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from support.eventually import eventually
from support.finished_runs import HOSTILE, FinishedRun
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from pretrain_api import layout
from pretrain_api.stages import Stage
from pretrain_trainer.evaluation import trained
from pretrain_trainer.exporting import hugging_face
from pretrain_trainer.stages.train import parameters_sha256

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "finetune.py"

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


@pytest.fixture(scope="module")
def exported(trained_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    run = trained_run.copy(tmp_path_factory.mktemp("exported") / "run")
    run.succeed(Stage.EVALUATE, Stage.EXPORT)
    return run


def folder(run: FinishedRun) -> Path:
    return Path(run.storage.root, layout.EXPORT_HUGGING_FACE)


def digests(run: FinishedRun) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder(run).iterdir())}


class TestTheFolder:
    def test_loads_and_gives_the_logits_of_the_trained_model(self, exported: FinishedRun, tmp_path: Path) -> None:
        model = trained.load(exported.context(Stage.EVALUATE, tmp_path)).model.cpu()
        loaded = AutoModelForCausalLM.from_pretrained(folder(exported)).eval()
        tokens = torch.arange(2, 34).repeat(2, 1)
        with torch.no_grad():
            assert torch.equal(model(tokens).logits, loaded(tokens).logits)
        details = exported.record(Stage.EXPORT).details
        assert details["maxLogitDifference"] == 0
        assert details["sameNextTokenRatio"] == 1
        assert details["parametersSha256"] == exported.record(Stage.TRAIN).details["parametersSha256"]

    def test_generates_text_that_ends_with_the_end_of_text(self, exported: FinishedRun) -> None:
        model = AutoModelForCausalLM.from_pretrained(folder(exported))
        tokenizer = AutoTokenizer.from_pretrained(folder(exported))
        inputs = tokenizer("import json", return_tensors="pt", return_token_type_ids=False)
        text = tokenizer.decode(model.generate(**inputs, max_new_tokens=8, do_sample=False)[0])
        assert text.startswith("import json")
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id
        assert model.generation_config.pad_token_id == tokenizer.pad_token_id
        assert model.config.use_cache

    def test_every_text_survives_the_tokenizer(self, exported: FinishedRun) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder(exported))
        text = f"{HOSTILE}\ttabs  and  spaces , before . commas\r\n\u00e9\u4e2d\U0001f600\x00"
        assert tokenizer.decode(tokenizer.encode(text)) == text

    def test_its_files_can_be_read_by_others(self, exported: FinishedRun) -> None:
        assert all(file.stat().st_mode & 0o044 for file in folder(exported).iterdir())

    def test_the_same_weights_make_the_same_files(self, exported: FinishedRun, tmp_path: Path) -> None:
        again = exported.copy(tmp_path / "run")
        again.storage.remove(layout.record(Stage.EXPORT, exported.upstream[Stage.EXPORT]))
        again.storage.remove(layout.EXPORT)
        again.succeed(Stage.EXPORT)
        assert digests(again) == digests(exported)

    def test_another_type_replaces_the_folder_whole_and_states_the_difference(
        self, exported: FinishedRun, tmp_path: Path
    ) -> None:
        run = exported.copy(tmp_path / "run", export={"huggingFace": {"dtype": "bfloat16"}})
        (folder(run) / "left.over").write_text("of another export")
        details = run.succeed(Stage.EXPORT).details
        assert 0 < details["maxLogitDifference"] < 1
        assert not (folder(run) / "left.over").exists()
        assert AutoModelForCausalLM.from_pretrained(folder(run)).dtype == torch.bfloat16
        assert [path.name for path in folder(run).parent.iterdir()] == ["huggingface"]

    def test_is_written_again_when_the_job_goes_back_to_earlier_settings(
        self, exported: FinishedRun, tmp_path: Path
    ) -> None:
        run = exported.copy(tmp_path / "run")
        for dtype in ("bfloat16", "float32"):
            job = json.loads(run.job.read_text())
            job["spec"]["export"] = {"huggingFace": {"dtype": dtype}}
            run.job.write_text(json.dumps(job))
            run.succeed(Stage.EXPORT)
        assert digests(run) == digests(exported)


class TestArchitectures:
    @pytest.mark.parametrize(
        ("model_type", "settings"),
        [
            ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}),
            ("qwen3", {**SMALL, "head_dim": 16}),
            ("mistral", SMALL),
        ],
    )
    def test_reload_with_equal_weights_and_logits(
        self, model_type: str, settings: dict[str, int], tmp_path: Path
    ) -> None:
        tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
        config = AutoConfig.for_model(model_type, vocab_size=320, **tokens, **settings)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        hugging_face.write(model, {}, tmp_path, "float32")
        comparison = hugging_face.compare(model, AutoModelForCausalLM, tmp_path, torch.arange(96).reshape(3, 32))
        assert comparison.max_difference == 0
        assert comparison.parameters_sha256 == parameters_sha256(model)


class TestTheModelCard:
    def test_has_front_matter_that_the_hub_reads(self, exported: FinishedRun) -> None:
        card = ModelCard((folder(exported) / "README.md").read_text())
        assert card.data.library_name == "transformers"
        assert card.data.pipeline_tag == "text-generation"
        figures = exported.record(Stage.EVALUATE).details["bySource"]
        found = {(r.dataset_type, r.metric_type): r.metric_value for r in card.data.eval_results or []}
        for source in ("library", "hostile"):
            assert found[source, "bits_per_byte"] == pytest.approx(figures[source]["bitsPerByte"], abs=1e-6)

    def test_tells_data_licences_settings_and_provenance(self, exported: FinishedRun) -> None:
        text = (folder(exported) / "README.md").read_text()
        for expected in (
            "| library | python://lib/json/*.py | PSF-2.0 |",
            "| not stated |",
            "gopherQuality.minWords 1",
            "40 of 8 sequences of 32 tokens",
            "byte 5-gram",
            exported.record(Stage.TRAIN).details["parametersSha256"],
        ):
            assert expected in text


class TestKilled:
    def test_leaves_no_half_folder_and_goes_on(self, exported: FinishedRun, tmp_path: Path) -> None:
        run = exported.copy(tmp_path / "run")
        run.storage.remove(layout.record(Stage.EXPORT, exported.upstream[Stage.EXPORT]))
        run.storage.remove(layout.EXPORT)
        scratch = Path(run.storage.root, layout.SCRATCH)
        process = run.start(Stage.EXPORT)
        eventually(lambda: any(scratch.rglob("*.safetensors")), within_seconds=60)
        process.kill()
        process.wait(timeout=30)
        assert not folder(run).exists() or digests(run) == digests(exported)
        run.succeed(Stage.EXPORT)
        assert digests(run) == digests(exported)
        assert not any(scratch.rglob("*"))


class TestTheFineTuningExample:
    def test_the_trained_model_beats_the_same_model_from_random_weights(self, exported: FinishedRun) -> None:
        command = [sys.executable, str(EXAMPLE), "--model", str(folder(exported)), "--steps", "5"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr
        rows = [line.rsplit(maxsplit=3) for line in done.stdout.splitlines()[2:]]
        losses = {name: float(loss) for name, loss, _, _ in rows}
        assert set(losses) == {"random weights", "pre-trained"}
        assert losses["pre-trained"] < losses["random weights"]


class TestNothingAsked:
    def test_a_job_without_an_export_writes_none(self, exported: FinishedRun, tmp_path: Path) -> None:
        run = exported.copy(tmp_path / "run", export={"huggingFace": None})
        run.storage.remove(layout.EXPORT)
        assert "no export" in run.succeed(Stage.EXPORT).message
        assert not folder(run).exists()
