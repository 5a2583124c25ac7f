"""The Tokenizer stage on real text: what it writes, what it learns from, what it says."""

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from support.prepared import PREPARED, a_context, a_job, write_documents

from pretrain_api.errors import UserError
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_trainer.context import StageContext
from pretrain_trainer.data.split import is_validation
from pretrain_trainer.stages import tokenizer

CODE = [Path(argparse.__file__).read_text()[begin : begin + 1000] for begin in range(0, 80_000, 1000)]
PROSE = textwrap.wrap((textwrap.__doc__ or "") + (argparse.__doc__ or "") * 5 + "Naïve café, 漢字 🙂. ", 200)


def a_stage(
    tmp_path: Path, name: str = "tokenizer", weights: tuple[float, float] = (0.7, 0.3), **spec: Any
) -> StageContext:
    storage = Storage(str(tmp_path / "run"))
    write_documents(storage, "code", CODE, documents_per_part=30, documents_per_group=7)
    write_documents(storage, "prose", PROSE)
    sources = [
        {"name": "code", "documents": "code", "weight": weights[0]},
        {"name": "prose", "documents": "prose", "weight": weights[1]},
    ]
    job = a_job(tmp_path / "run", sources, tokenizer=spec)
    return a_context(job, tmp_path, name, {Stage.PREPARE: PREPARED})


class TestTrained:
    @pytest.mark.parametrize("algorithm", ["bpe", "wordpiece", "unigram"])
    def test_folder_is_loaded_by_transformers(self, tmp_path: Path, algorithm: str) -> None:
        from transformers import AutoTokenizer

        train = {"algorithm": algorithm, "vocabSize": 500, "specialTokens": ["<|user|>"]}
        result = tokenizer.run(a_stage(tmp_path, train=train))
        loaded = AutoTokenizer.from_pretrained(tmp_path / "run/tokenizer/tokenizer")
        assert len(loaded) == 500 == result.details["vocabSize"]
        assert (loaded.eos_token, loaded.pad_token) == ("<|endoftext|>", "<|padding|>")
        assert loaded.eos_token_id == result.details["endOfText"]
        ids = loaded("def main(argv): <|user|>", add_special_tokens=False)["input_ids"]
        assert loaded.convert_tokens_to_ids("<|user|>") in ids
        assert loaded.decode(ids, skip_special_tokens=True).strip().startswith("def main")

    def test_is_the_same_after_a_retry(self, tmp_path: Path) -> None:
        first = tokenizer.run(a_stage(tmp_path, train={"vocabSize": 400}))
        again = tokenizer.run(a_stage(tmp_path, "again", train={"vocabSize": 400}))
        assert first.details == again.details
        assert (tmp_path / "run/tokenizer/tokenizer/tokenizer.json").read_bytes() == (
            tmp_path / "run/tokenizer/again/tokenizer.json"
        ).read_bytes()

    def test_learns_from_each_source_by_its_weight(self, tmp_path: Path) -> None:
        result = tokenizer.run(a_stage(tmp_path, weights=(3.0, 1.0), train={"vocabSize": 300, "sampleBytes": 4000}))
        assert result.sources["code"].bytes_in == pytest.approx(3000, rel=0.05)
        assert result.sources["prose"].bytes_in == pytest.approx(1000, rel=0.05)

    def test_learns_nothing_from_validation_documents(self, tmp_path: Path) -> None:
        result = tokenizer.run(a_stage(tmp_path, train={"vocabSize": 300}))
        seen = [text for text in CODE if not is_validation(text, 0.1)]
        assert len(seen) < len(CODE)
        assert result.sources["code"].documents_in == len(seen)
        assert result.sources["code"].bytes_in == sum(len(text.encode()) for text in seen)

    def test_reports_compression_by_source_and_that_nothing_is_lost(self, tmp_path: Path) -> None:
        result = tokenizer.run(a_stage(tmp_path, train={"vocabSize": 400}))
        for figures in result.details["bySource"].values():
            assert 1 < figures["bytesPerToken"] < 5
            assert figures["charactersLost"] == 0
            assert sum(figures["tokenLengths"].values()) == figures["tokens"]
        assert "round trip loses nothing" in result.message

    def test_on_too_little_text_is_refused_and_nothing_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="30000 entries were asked for") as caught:
            tokenizer.run(a_stage(tmp_path, train={"vocabSize": 30000}))
        assert caught.value.code == "vocabulary-too-large"
        assert not (tmp_path / "run/tokenizer").exists()


class TestGiven:
    def given(self, tmp_path: Path) -> Path:
        tokenizer.run(a_stage(tmp_path / "other", train={"vocabSize": 400}))
        return tmp_path / "other/run/tokenizer/tokenizer"

    def test_is_taken_as_it_is(self, tmp_path: Path) -> None:
        folder = self.given(tmp_path)
        result = tokenizer.run(a_stage(tmp_path, uri=str(folder)))
        assert (tmp_path / "run/tokenizer/tokenizer/tokenizer.json").read_bytes() == (
            folder / "tokenizer.json"
        ).read_bytes()
        assert result.details["vocabSize"] == 400

    def test_gives_the_stage_another_identity_when_its_content_changes(self, tmp_path: Path) -> None:
        folder = self.given(tmp_path)
        before = tokenizer.inputs(a_stage(tmp_path, uri=str(folder)))
        assert tokenizer.inputs(a_stage(tmp_path, uri=folder.as_uri())) == before
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": "<|endoftext|>"}))
        assert tokenizer.inputs(a_stage(tmp_path, uri=str(folder))) != before

    def test_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nowhere has no tokenizer\.json"):
            tokenizer.inputs(a_stage(tmp_path, uri=str(tmp_path / "nowhere")))

    def test_is_no_outside_input_of_a_trained_one(self, tmp_path: Path) -> None:
        assert tokenizer.inputs(a_stage(tmp_path, train={"vocabSize": 400})) == ""
