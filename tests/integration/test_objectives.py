"""Every objective through all stages, killed on the way: the same bits, the same evaluation, a model that loads."""

import functools
import json
import math
import operator
from pathlib import Path
from typing import Any

import pytest
import transformers
from support.eventually import eventually
from support.finished_runs import FinishedRun
from support.token_runs import kill_everything, losses, steps_done

from pretrain_api import layout
from pretrain_api.objectives import MASK
from pretrain_api.stages import Stage

STEPS = 200
ENCODER = {
    "model_type": "bert", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 64, "type_vocab_size": 1, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
ENCODER_DECODER = {
    "model_type": "t5", "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2,
    "dropout_rate": 0.0,
}  # fmt: skip
DECODER = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64,
}  # fmt: skip
OBJECTIVES: dict[str, dict[str, Any]] = {
    "maskedLM": {"model": {"config": ENCODER}, "objective": {"maskedLM": {"masking": "wholeWord"}}},
    "spanCorruption": {
        "model": {"config": ENCODER_DECODER},
        "objective": {"spanCorruption": {}},
        "tokenizer": {"train": {"vocabSize": 512}},
    },
    "prefixLM": {"model": {"config": DECODER}, "objective": {"prefixLM": {}}},
}

pytestmark = pytest.mark.slow


def trained(run: FinishedRun, kill_after: int = 0) -> dict[str, Any]:
    """The details of a training that runs to its end; killed once on the way, where that is asked for."""
    process = run.start(Stage.TRAIN)
    if kill_after:
        done = functools.partial(steps_done, run.folder)
        eventually(done, functools.partial(operator.le, kill_after), within_seconds=120)
        kill_everything(process)
        process = run.start(Stage.TRAIN)
    assert process.wait(timeout=120) == 0
    run.upstream[Stage.TRAIN] = run.outcome(Stage.TRAIN).fingerprint
    record = run.storage.read_json(layout.record(Stage.TRAIN, run.upstream[Stage.TRAIN]))
    assert record["attempts"] == (2 if kill_after else 1)
    details: dict[str, Any] = record["details"]
    return details


@pytest.fixture(scope="module", params=OBJECTIVES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, FinishedRun]:
    """A run of the objective up to Encode."""
    found = FinishedRun(tmp_path_factory.mktemp(request.param))
    job = json.loads(found.job.read_text())
    job["spec"] |= OBJECTIVES[request.param]
    job["spec"]["training"] |= {"steps": STEPS, "optimizer": {"adamw": {"learningRate": 2e-3}}}
    job["spec"]["checkpoint"] = {"everySeconds": 1}
    found.job.write_text(json.dumps(job))
    found.succeed(Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE)
    return request.param, found


def test_ends_with_the_same_bits_after_a_kill_and_with_a_model_that_loads(
    run: tuple[str, FinishedRun], tmp_path: Path
) -> None:
    name, quiet = run
    rough = quiet.copy(tmp_path / "rough")
    undisturbed, disturbed = trained(quiet), trained(rough, kill_after=STEPS // 5)
    assert disturbed["parametersSha256"] == undisturbed["parametersSha256"]
    assert losses(Path(rough.storage.root)) == losses(Path(quiet.storage.root))
    quiet.succeed(Stage.EVALUATE, Stage.EXPORT, Stage.REPORT)
    rough.succeed(Stage.EVALUATE)
    one, other = (each.record(Stage.EVALUATE).details["bySource"] for each in (quiet, rough))
    assert one == other
    evaluation = quiet.storage.read_json(layout.REPORT_JSON)["evaluation"]
    CHECKS[name](evaluation, Path(quiet.storage.root) / layout.EXPORT_HUGGING_FACE)


def _masked(evaluation: dict[str, Any], exported: Path) -> None:
    figures = evaluation["library"]
    assert figures["loss"] < 0.9 * math.log(384)  # of the vocabulary; a few seconds of training learn frequencies
    assert figures["baselines"]["unigramLoss"] < math.log(384)
    assert 0 < figures["accuracy"] <= 1
    assert "bitsPerByte" not in figures
    fill = transformers.pipeline("fill-mask", model=str(exported))
    assert fill.tokenizer.mask_token == MASK
    assert len(fill(f"import {MASK}")) == 5
    encoder = transformers.AutoModel.from_pretrained(exported)
    assert encoder.config.hidden_size == ENCODER["hidden_size"]


def _spans(evaluation: dict[str, Any], exported: Path) -> None:
    figures = evaluation["library"]
    assert figures["loss"] < 0.9 * math.log(512)
    assert 0 < figures["accuracy"] <= 1
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(exported)
    written = model.generate(**tokenizer("import <extra_id_0>", return_tensors="pt"), max_new_tokens=8)
    assert written.shape[1] > 1


def _prefix(evaluation: dict[str, Any], exported: Path) -> None:
    figures = evaluation["library"]
    assert figures["loss"] < 0.9 * math.log(384)
    assert figures["bitsPerByte"] > 0
    assert figures["lossWithoutPrefix"] > 0
    assert transformers.AutoModelForCausalLM.from_pretrained(exported).config.model_type == "llama"


CHECKS = {"maskedLM": _masked, "spanCorruption": _spans, "prefixLM": _prefix}
