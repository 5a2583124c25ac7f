"""What a text becomes when a model's spans are put in the place of its sentinels."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from pretrain_trainer.evaluation import span_filling
from pretrain_trainer.objectives.span_corruption import SpanCorruption
from pretrain_trainer.tokenizer import LoadedTokenizer

WORDS = [
    "<end>",
    "<pad>",
    *["the", "cat", "sat", "on", "a", "mat", "and", "slept"],
    "<extra_id_0>",
    "<extra_id_1>",
    "<extra_id_2>",
]
END, PADDING, FIRST = 0, 1, WORDS.index("<extra_id_0>")


@pytest.fixture
def loaded() -> LoadedTokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return LoadedTokenizer(tokenizer, END, PADDING, None, (FIRST, FIRST + 1, FIRST + 2), len(WORDS), "")


class Writer(torch.nn.Linear):
    """Writes the given words, whatever it reads, and keeps what it read."""

    def __init__(self, written: str) -> None:
        super().__init__(1, 1)
        self.config: Any = SimpleNamespace(decoder_start_token_id=PADDING)
        self.written, self.read = [PADDING, *(WORDS.index(word) for word in written.split())], []

    def generate(self, tokens: torch.Tensor, **settings: Any) -> torch.Tensor:
        self.read = tokens[0].tolist()
        return torch.tensor([self.written])


def filled(loaded: LoadedTokenizer, model: Writer, prompt: str, length: int = 64) -> tuple[str, str]:
    objective = SpanCorruption(loaded.sentinels, END, PADDING, 1)
    done: list[int] = []
    (sample,) = span_filling.fill(
        model, loaded, objective, [(prompt, "web")], sequence_length=length, after_prompt=done.append
    )
    assert (done, sample.decoding, sample.source) == ([1], "filled", "web")
    return sample.prompt, sample.text


def test_each_sentinel_gives_way_to_what_is_written_after_it(loaded: LoadedTokenizer) -> None:
    model = Writer("<extra_id_0> cat sat <extra_id_1> mat <end> slept")
    before, after = filled(loaded, model, "the <extra_id_0> on a <extra_id_1>")
    assert (before, after) == ("the <extra_id_0> on a <extra_id_1>", "the cat sat on a mat")


def test_a_sentinel_that_the_model_leaves_out_or_empty_stays(loaded: LoadedTokenizer) -> None:
    model = Writer("<extra_id_0> <extra_id_2> mat <end>")
    _, after = filled(loaded, model, "the <extra_id_0> sat <extra_id_1> on <extra_id_2>")
    assert after == "the <extra_id_0> sat <extra_id_1> on mat"


def test_what_is_written_before_a_sentinel_or_after_one_that_comes_again_counts_nothing(
    loaded: LoadedTokenizer,
) -> None:
    _, after = filled(loaded, Writer("slept <extra_id_0> cat <extra_id_0> mat"), "the <extra_id_0> sat")
    assert after == "the cat sat"


def test_a_prompt_without_sentinels_is_cut_by_the_objective(loaded: LoadedTokenizer) -> None:
    text = "the cat sat on a mat and slept on a mat"
    before, _ = filled(loaded, Writer("<end>"), text)
    kept = before.split(" ")
    assert kept.count("<extra_id_0>") == 1
    assert len(kept) == len(text.split()) - 2 + 1
    assert before == filled(loaded, Writer("<end>"), text)[0]


@pytest.mark.parametrize(("prompt", "before"), [("", "<extra_id_0>"), ("cat", "cat <extra_id_0>")])
def test_a_prompt_too_short_to_be_cut_is_gone_on_with(loaded: LoadedTokenizer, prompt: str, before: str) -> None:
    assert filled(loaded, Writer("<end>"), prompt)[0] == before


def test_a_prompt_that_is_too_long_is_cut(loaded: LoadedTokenizer) -> None:
    model = Writer("<end>")
    filled(loaded, model, "the <extra_id_0> " + "sat " * 100, length=16)
    assert len(model.read) == 16
