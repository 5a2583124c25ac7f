import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.jobs import a_job
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer

from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_api.types.model import TrainTokenizer
from pretrain_trainer.tokenizer import check_special_tokens, ending_captions, load_folder, with_length
from pretrain_trainer.tokenizer_training import check, lower_case, train

LONG = [Path(argparse.__file__).read_text()[begin : begin + 2000] for begin in range(0, 60000, 2000)]
WORDS = {"[UNK]": 0, "a": 1, "b": 2, "</s>": 3, "[PAD]": 4}


def a_folder(path: Path, config: Any = None, special_tokens_map: Any = None, words: Any = None) -> Storage:
    tokenizer = Tokenizer(models.WordLevel(WORDS if words is None else words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 3)])
    tokenizer.enable_truncation(2)
    (path / "tokenizer.json").write_text(tokenizer.to_str())
    if config is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(config))
    if special_tokens_map is not None:
        (path / "special_tokens_map.json").write_text(json.dumps(special_tokens_map))
    return Storage(str(path))


class TestFolder:
    @pytest.mark.parametrize(
        "files",
        [
            {"config": {"eos_token": "</s>"}},
            {"config": {"eos_token": {"content": "</s>", "lstrip": False}}},
            {"special_tokens_map": {"eos_token": "</s>"}},
            {"config": {"eos_token": "unknown"}, "special_tokens_map": {"eos_token": {"content": "</s>"}}},
        ],
    )
    def test_end_of_text_is_found_in_its_files(self, tmp_path: Path, files: dict[str, Any]) -> None:
        assert load_folder(a_folder(tmp_path, **files), "").end_of_text == 3

    def test_padding_is_the_named_token_or_the_end_of_text(self, tmp_path: Path) -> None:
        storage = a_folder(tmp_path, {"eos_token": "</s>"})
        assert load_folder(storage, "").padding == 3
        storage = a_folder(tmp_path, {"eos_token": "</s>", "pad_token": "[PAD]"})
        assert load_folder(storage, "").padding == 4

    def test_vocabulary_reaches_to_the_highest_id(self, tmp_path: Path) -> None:
        storage = a_folder(tmp_path, {"eos_token": "</s>"}, words={"[UNK]": 0, "</s>": 3, "rare": 70000})
        assert load_folder(storage, "").vocab_size == 70001

    @pytest.mark.parametrize(
        ("sentinels", "code", "advice"),
        [
            (0, "tokenizer-without-special-tokens", "spec.tokenizer.train"),
            (2, "spans-not-fitting", "Write a larger meanSpanLength"),
        ],
    )
    def test_too_few_sentinels_for_the_spans_of_a_sequence_are_refused(
        self, tmp_path: Path, sentinels: int, code: str, advice: str
    ) -> None:
        spec = a_job().with_spec(objective={"spanCorruption": {}}).spec  # 64 tokens of a sequence: 10 in 3 spans
        for there in (3, sentinels):
            words = WORDS | {f"<extra_id_{n}>": 5 + n for n in range(there)}
            loaded = load_folder(a_folder(tmp_path, {"eos_token": "</s>"}, words=words), "")
            assert loaded.sentinels == tuple(range(5, 5 + there))
            if there == 3:
                check_special_tokens(loaded, spec)
        with pytest.raises(UserError) as error:
            check_special_tokens(loaded, spec)
        assert error.value.code == code
        assert advice in error.value.instead

    def test_documents_are_encoded_whole_and_without_additions(self, tmp_path: Path) -> None:
        loaded = load_folder(a_folder(tmp_path, {"eos_token": "</s>"}), "")
        assert loaded.tokenizer.encode("a b a b", add_special_tokens=False).ids == [1, 2, 1, 2]

    def test_end_of_text_spelled_out_in_a_document_is_text(self, tmp_path: Path) -> None:
        loaded = load_folder(a_folder(tmp_path, {"eos_token": "</s>"}), "")
        assert 3 not in loaded.tokenizer.encode("a </s> b", add_special_tokens=False).ids


class TestLength:
    def test_is_written_beside_the_other_settings(self) -> None:
        files = with_length({"tokenizer.json": b"{}", "tokenizer_config.json": b'{"eos_token": "</s>"}'}, 64)
        assert json.loads(files["tokenizer_config.json"]) == {"eos_token": "</s>", "model_max_length": 64}
        assert files["tokenizer.json"] == b"{}"

    def test_makes_a_config_where_there_is_none(self) -> None:
        assert json.loads(with_length({"tokenizer.json": b"{}"}, 64)["tokenizer_config.json"]) == {
            "model_max_length": 64
        }


class TestCaptions:
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_end_with_the_end_of_text_also_where_they_are_cut(self, tmp_path: Path, side: str) -> None:
        a_folder(tmp_path, {"eos_token": "</s>", "pad_token": "[PAD]", "padding_side": side})
        files = with_length(ending_captions({file.name: file.read_bytes() for file in tmp_path.iterdir()}), 3)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        found = tokenizer(["a b a b", "b"], padding=True, truncation=True)["input_ids"]
        assert found == [[1, 2, 3], [2, 3, 4]]

    @pytest.mark.parametrize("algorithm", ["bpe", "wordpiece", "unigram"])
    def test_are_the_same_in_upper_and_lower_case(self, algorithm: str) -> None:
        spec = TrainTokenizer.model_validate({"algorithm": algorithm, "vocabSize": 500})
        tokenizer = lower_case(train(spec, lambda: iter(LONG)))
        one, other = (tokenizer.encode(text).ids for text in ("A Photo of FLAGS", "a photo of flags"))
        assert one == other

    def test_an_end_of_text_that_transformers_reads_as_a_sign_of_old_models_is_refused(self, tmp_path: Path) -> None:
        spec = a_job().with_spec(objective={"clip": {}}).spec
        check_special_tokens(load_folder(a_folder(tmp_path, {"eos_token": "</s>"}), ""), spec)
        with pytest.raises(UserError) as error:
            check_special_tokens(load_folder(a_folder(tmp_path, {"eos_token": "b"}), ""), spec)
        assert error.value.code == "tokenizer-without-special-tokens"
        assert "another id than 2" in str(error.value)


class TestBadFolder:
    def test_without_tokenizer_json_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"has no tokenizer.json") as caught:
            load_folder(Storage(str(tmp_path)), "")
        assert caught.value.code == "tokenizer-missing"

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "1.0"}', "\xff"])
    def test_with_a_broken_tokenizer_json_is_refused(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "tokenizer.json").write_bytes(content.encode("latin-1"))
        with pytest.raises(UserError, match=r"tokenizer.json cannot be read") as caught:
            load_folder(Storage(str(tmp_path)), "")
        assert caught.value.code == "tokenizer-broken"

    def test_with_a_broken_config_is_refused(self, tmp_path: Path) -> None:
        storage = a_folder(tmp_path)
        (tmp_path / "tokenizer_config.json").write_text("{'eos_token': '</s>'}")
        with pytest.raises(UserError, match=r"tokenizer_config.json cannot be read") as caught:
            load_folder(storage, "")
        assert caught.value.code == "tokenizer-broken"

    @pytest.mark.parametrize("config", [None, {}, {"eos_token": None}, {"eos_token": "<eos>"}])
    def test_without_an_end_of_text_is_refused(self, tmp_path: Path, config: Any) -> None:
        with pytest.raises(UserError, match="names no end-of-text token") as caught:
            load_folder(a_folder(tmp_path, config), "")
        assert caught.value.code == "tokenizer-without-end-of-text"


TEXTS = [
    "The quick brown fox jumps over the lazy dog. " * 3,
    "def f(x):\n\treturn x ** 2\n\n",
    "naïve café, 漢字 🙂\r\n",
] * 20


def as_folder(path: Path, spec: TrainTokenizer, texts: list[str]) -> Storage:
    (path / "tokenizer.json").write_text(train(spec, lambda: iter(texts)).to_str())
    return Storage(str(path))


class TestTraining:
    @pytest.mark.parametrize("algorithm", ["bpe", "wordpiece", "unigram"])
    def test_makes_the_same_bytes_each_time(self, algorithm: str) -> None:
        spec = TrainTokenizer.model_validate({"algorithm": algorithm, "vocabSize": 500})
        assert train(spec, lambda: iter(LONG)).to_str() == train(spec, lambda: iter(LONG)).to_str()

    @pytest.mark.parametrize("algorithm", ["bpe", "wordpiece", "unigram"])
    def test_makes_a_vocabulary_of_exactly_the_size_asked_for(self, algorithm: str) -> None:
        spec = TrainTokenizer.model_validate({"algorithm": algorithm, "vocabSize": 500, "specialTokens": ["<|user|>"]})
        tokenizer = train(spec, lambda: iter(LONG))
        assert tokenizer.get_vocab_size() == 500
        assert tokenizer.token_to_id("<|endoftext|>") == 0
        assert tokenizer.token_to_id("<|user|>") is not None

    @pytest.mark.parametrize("algorithm", ["bpe", "wordpiece", "unigram"])
    def test_on_too_little_text_says_how_large_a_vocabulary_it_makes(self, algorithm: str) -> None:
        spec = TrainTokenizer.model_validate({"algorithm": algorithm, "vocabSize": 5000})
        with pytest.raises(UserError, match="5000 entries were asked for") as caught:
            train(spec, lambda: iter(TEXTS))
        assert caught.value.code == "vocabulary-too-large"
        advised = re.match(r"Write vocabSize: (\d+),", caught.value.instead)
        if advised is None:
            assert caught.value.instead == "Add documents, or raise sampleBytes."
        else:
            possible = int(advised[1])
            train(spec.model_copy(update={"vocab_size": possible}), lambda: iter(TEXTS))

    def test_special_tokens_in_documents_are_recognised_but_for_the_end_of_text(self, tmp_path: Path) -> None:
        spec = TrainTokenizer.model_validate({"vocabSize": 300, "specialTokens": ["<|user|>"]})
        loaded = load_folder(as_folder(tmp_path, spec, TEXTS), "")
        ids = loaded.tokenizer.encode("a<|user|>b<|endoftext|>c<|padding|>", add_special_tokens=False).ids
        assert loaded.tokenizer.token_to_id("<|user|>") in ids
        assert not {loaded.end_of_text, loaded.padding} & set(ids)


class TestCheck:
    @pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
    def test_of_byte_level_tokenizers_loses_nothing(self, tmp_path: Path, algorithm: str) -> None:
        spec = TrainTokenizer.model_validate({"algorithm": algorithm, "vocabSize": 300})
        loaded = load_folder(as_folder(tmp_path, spec, LONG), "")
        checked = check(loaded, [*TEXTS, "\x00\u2028 <|endoftext|> ﷽ \U0010ffff", "  leading", ""])
        assert (checked.documents_changed, checked.characters_lost) == (0, 0)
        assert checked.documents == len(TEXTS) + 3
        assert sum(checked.token_lengths.values()) == checked.tokens

    def test_of_wordpiece_counts_the_characters_that_are_lost(self, tmp_path: Path) -> None:
        spec = TrainTokenizer.model_validate({"algorithm": "wordpiece", "vocabSize": 300})
        loaded = load_folder(as_folder(tmp_path, spec, LONG), "")
        checked = check(loaded, ["word\tword", "ж"])
        assert checked.documents_changed == 2
        assert checked.characters_lost == 2
