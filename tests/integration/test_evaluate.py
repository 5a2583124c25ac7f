"""Evaluate on a real trained model: figures against slow references, samples, damaged checkpoints."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from support.finished_runs import FinishedRun

from pretrain_api import layout
from pretrain_api.errors import PretrainError
from pretrain_api.shards import Split
from pretrain_api.stages import Stage
from pretrain_trainer.data.mixture import read_manifests
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.evaluation import losses, trained
from pretrain_trainer.stages import evaluate


@pytest.fixture(scope="module")
def evaluated(trained_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The details of an evaluation of the trained run."""
    run = trained_run.copy(tmp_path_factory.mktemp("evaluated") / "run")
    details = run.succeed(Stage.EVALUATE).details
    written = run.storage.read_json(f"{layout.EVALUATION}/{run.upstream[Stage.EVALUATE]}.json")
    assert written == details
    return json.loads(json.dumps(details))


def validation_documents(run: FinishedRun, source: str) -> list[str]:
    folder = layout.shards(run.upstream[Stage.ENCODE], source)
    return pq.read_table(f"{run.storage.root}/{folder}/validation/documents.parquet")["text"].to_pylist()


class TestFigures:
    def test_the_loss_is_that_of_each_document_read_alone(
        self, trained_run: FinishedRun, evaluated: dict[str, Any], tmp_path: Path
    ) -> None:
        context = trained_run.context(Stage.EVALUATE, tmp_path)
        model = trained.load(context).model.cpu()
        manifests = read_manifests(context.storage, context.upstream[Stage.ENCODE], context.spec.data.sources)
        reader = SampleReader(context.storage, manifests, "validation")
        for number, (_, manifest) in enumerate(manifests):
            nats, predicted = 0.0, 0
            for index in range(manifest.validation.samples):
                read = reader.read(*(torch.tensor([n]).numpy() for n in (number, index)))
                tokens, documents = read.tokens[0][read.valid[0]], read.document_ids[0][read.valid[0]]
                for document in set(documents):
                    alone = torch.from_numpy(tokens[documents == document]).long()[None]
                    if alone.shape[1] > 1:
                        with torch.no_grad():
                            logits = model(alone[:, :-1]).logits[0]
                        nats += float(torch.nn.functional.cross_entropy(logits, alone[0, 1:], reduction="sum"))
                        predicted += alone.shape[1] - 1
            figures = evaluated["bySource"][manifest.source]
            assert figures["predictedTokens"] == predicted
            assert figures["loss"] == pytest.approx(nats / predicted, rel=1e-5)

    def test_the_loss_does_not_depend_on_the_batch(self, trained_run: FinishedRun, tmp_path: Path) -> None:
        context = trained_run.context(Stage.EVALUATE, tmp_path)
        model = trained.load(context)
        manifests = read_manifests(context.storage, context.upstream[Stage.ENCODE], context.spec.data.sources)
        samples = manifests[0][1].validation.samples
        results = [
            losses.source_loss(
                model.model,
                model.objective,
                SampleReader(context.storage, manifests, "validation"),
                0,
                samples,
                batch,
                model.device,
                "fp32",
                lambda done: None,
            )
            for batch in (1, samples)
        ]
        assert results[0].predicted == results[1].predicted
        assert results[0].nats == pytest.approx(results[1].nats, rel=1e-6)

    def test_bits_per_byte_charge_every_token_the_mean_loss(
        self, trained_run: FinishedRun, evaluated: dict[str, Any]
    ) -> None:
        for source, figures in evaluated["bySource"].items():
            size = sum(len(text.encode()) for text in validation_documents(trained_run, source))
            assert figures["bytes"] == size > 0
            expected = figures["loss"] * figures["tokens"] / math.log(2) / size
            assert figures["bitsPerByte"] == pytest.approx(expected)
            assert figures["perplexity"] == pytest.approx(math.exp(figures["loss"]))

    def test_the_model_has_learnt(self, evaluated: dict[str, Any]) -> None:
        assert all(figures["loss"] < math.log(384) - 1 for figures in evaluated["bySource"].values())

    def test_baselines_are_measured_on_the_same_text(self, trained_run: FinishedRun, evaluated: dict[str, Any]) -> None:
        for source, figures in evaluated["bySource"].items():
            text = "".join(validation_documents(trained_run, source)).encode()
            assert figures["baselines"]["gzip"] == pytest.approx(8 * len(gzip.compress(text, 9)) / len(text))
            assert set(figures["baselines"]) == {"gzip", "xz", "byte5gram"}
            assert 0 < figures["baselines"]["byte5gram"] < 8


class TestSamples:
    def test_openings_of_each_source_are_continued_greedily_and_by_chance(
        self, trained_run: FinishedRun, evaluated: dict[str, Any]
    ) -> None:
        samples = evaluated["samples"]
        assert [sample["decoding"] for sample in samples] == ["greedy", "sampled"] * (len(samples) // 2)
        assert {sample["source"] for sample in samples} == {"library", "hostile"}
        for sample in samples:
            assert any(sample["prompt"] in text for text in validation_documents(trained_run, sample["source"]))

    def test_a_second_evaluation_writes_the_same(
        self, trained_run: FinishedRun, evaluated: dict[str, Any], tmp_path: Path
    ) -> None:
        run = trained_run.copy(tmp_path / "run")
        (tmp_path / "scratch").mkdir()
        again = evaluate.run(run.context(Stage.EVALUATE, tmp_path / "scratch"))
        assert again.details == evaluated

    def test_prompts_of_the_job_take_the_place_of_openings(self, trained_run: FinishedRun, tmp_path: Path) -> None:
        run = trained_run.copy(tmp_path / "run", evaluation={"everySteps": 10, "prompts": ["def ", "", "x" * 4000]})
        details = run.succeed(Stage.EVALUATE).details
        assert [sample["prompt"] for sample in details["samples"][::2]] == ["def ", "", "x" * 4000]


class TestWithoutFigures:
    def test_a_run_that_held_nothing_out_says_so(self, own_run: FinishedRun) -> None:
        for source in ("library", "hostile"):
            path = f"{layout.shards(own_run.upstream[Stage.ENCODE], source)}/{layout.MANIFEST}"
            manifest = own_run.storage.read_json(path)
            own_run.storage.write_json(path, {**manifest, "validation": Split().model_dump()})
        record = own_run.succeed(Stage.EVALUATE)
        assert record.details["bySource"] == {}
        assert "spec.data.validation.fraction" in record.message

    def test_a_damaged_final_checkpoint_is_not_replaced_by_an_older_one(
        self, own_run: FinishedRun, tmp_path: Path
    ) -> None:
        final = own_run.record(Stage.TRAIN).details["checkpoint"]
        for file in Path(own_run.storage.root, final).glob("*.tensors"):
            # All of it: only the weights are read, and they lie anywhere among the optimizer's moments.
            file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
        with pytest.raises(PretrainError, match=r"damaged|can be read"):
            trained.load(own_run.context(Stage.EVALUATE, tmp_path))
