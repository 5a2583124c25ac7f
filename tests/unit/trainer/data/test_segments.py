import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers

from pretrain_api.types.model import TrainTokenizer
from pretrain_trainer.data import segments as module
from pretrain_trainer.data.segments import segments
from pretrain_trainer.tokenizer_training import train

RNG = random.Random(5)
WORDS = ["don't", "naïve", "漢字", "x", "==", "12", "\n", "  ", "\t", "end.", "\r\n", "🙂", "(a, b)", "word"]
TEXT = "".join(RNG.choice(WORDS) + RNG.choice([" ", " ", "", "\n"]) for _ in range(20_000))

PROSE = Path(random.__file__).read_text()


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_CHARACTERS", 500)


@pytest.mark.parametrize("algorithm", ["bpe", "wordpiece", "unigram"])
def test_tokens_of_the_segments_are_the_texts(algorithm: str) -> None:
    spec = TrainTokenizer.model_validate({"algorithm": algorithm, "vocabSize": 300})
    tokenizer = train(spec, lambda: iter([TEXT, PROSE]))

    def tokens_of(text: str) -> list[int]:
        return list(tokenizer.encode(text).ids)

    parts = list(segments(TEXT, tokens_of))
    assert "".join(parts) == TEXT
    assert [token for part in parts for token in tokens_of(part)] == tokens_of(TEXT)
    assert len(parts) > len(TEXT) // 1000
    assert max(map(len, parts)) < 2000


def test_a_text_stays_whole_for_a_tokenizer_that_marks_its_start() -> None:
    vocabulary = {character: i for i, character in enumerate(sorted({*TEXT, "▁"}))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.normalizer = normalizers.Prepend("▁")
    assert list(segments(TEXT, lambda text: tokenizer.encode(text).ids)) == [TEXT]


def test_a_short_text_stays_whole() -> None:
    assert list(segments(TEXT[:999], lambda text: [0])) == [TEXT[:999]]
