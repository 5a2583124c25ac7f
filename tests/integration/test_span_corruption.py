"""A small T5 from documents to report, on two ranks that share the model."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from support.jobs import a_job
from support.local_runs import LocalRun
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

T5 = {
    "model_type": "t5", "d_model": 32, "d_ff": 48, "d_kv": 16, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0,
    "feed_forward_proj": "gated-gelu",
}  # fmt: skip


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spans")
    job = a_job().with_steps(6, processes=2).stored_in(folder / "run")
    training = job.manifest["spec"]["training"] | {
        "parallelism": {"shard": 2}, "activationCheckpointing": "full", "optimizer": {"adamw": {"learningRate": 1e-2}},
    }  # fmt: skip
    data = {"sources": [{"name": "lib", "documents": "python://lib/json/*.py"}], "validation": {"fraction": 0.3}}
    prompts = {"prompts": ["def <extra_id_0>(self):"]}
    job = job.with_spec(
        training=training, data=data, model={"config": T5}, objective={"spanCorruption": {}}, evaluation=prompts
    )
    run = LocalRun(folder, job)
    assert run.exit_code(within_seconds=300) == 0, run.output
    return folder / "run"


def test_held_out_spans_are_measured_beside_unigrams_on_the_same_targets(finished: Path) -> None:
    report = json.loads((finished / "report" / "report.json").read_text())
    figures = report["evaluation"]["lib"]
    # 64 tokens of a sequence: 10 in 3 spans, with a sentinel each, and an end of text. The last sequence may be padded.
    assert 0 < figures["predictedTokens"] <= 14 * -(-figures["tokens"] // 64)
    assert "bitsPerByte" not in figures
    assert 0 < figures["loss"] < 8
    assert 0 < figures["baselines"]["unigramLoss"] < 7
    assert report["training"]["steps"][-1]["loss"] < report["training"]["steps"][0]["loss"]
    assert (
        "<h2>Evaluation</h2>\n<p>Target tokens of held-out documents." in (finished / "report/index.html").read_text()
    )


def test_samples_show_the_text_with_sentinels_and_the_text_that_is_filled(finished: Path) -> None:
    [given] = json.loads((finished / "report" / "report.json").read_text())["samples"]
    assert given["prompt"] == "def<extra_id_0>(self):"
    assert given["text"].startswith("def")
    assert given["decoding"] == "filled"


def test_the_export_is_an_encoder_decoder_that_its_card_loads_and_runs(finished: Path) -> None:
    folder = finished / "export" / "huggingface"
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("def<extra_id_0>(self):", return_tensors="pt")
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") in inputs.input_ids[0].tolist()
    with torch.no_grad():
        output = model.generate(**inputs, max_new_tokens=5)
    assert output[0, 0] == tokenizer.pad_token_id
    card = ModelCard.load(folder / "README.md")
    assert card.data.pipeline_tag == "text2text-generation"
    assert {result.metric_name for result in card.data.eval_results} == {"Accuracy on target tokens", "Perplexity"}
    assert 'inputs = tokenizer("def<extra_id_0>(self):", return_tensors="pt")' in card.text
    assert "An encoder-decoder language model (t5," in card.text
