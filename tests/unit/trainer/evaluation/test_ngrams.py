"""The byte n-gram baseline against a slow reference that follows the formula word by word."""

import math
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.evaluation import ngrams
from pretrain_trainer.evaluation.ngrams import ByteNgramModel

# A small alphabet, so that contexts repeat; NUL is in it because documents begin with it.
TEXTS = st.lists(st.binary(max_size=30) | st.lists(st.sampled_from(b"ab\0"), max_size=30).map(bytes), max_size=6)


class SlowNgramModel:
    """Interpolated Witten-Bell with dictionaries, one byte at a time."""

    def __init__(self, order: int, documents: list[bytes]) -> None:
        self.order = order
        self.after: dict[bytes, Counter[int]] = defaultdict(Counter)
        for document in documents:
            text = bytes(order - 1) + document
            for place in range(order - 1, len(text)):
                for length in range(order):
                    self.after[text[place - length : place]][text[place]] += 1

    def probability(self, context: bytes, byte: int) -> float:
        shorter = self.probability(context[1:], byte) if context else 1 / 256
        after = self.after.get(context)
        if not after:
            return shorter
        return (after[byte] + len(after) * shorter) / (after.total() + len(after))

    def bits(self, documents: list[bytes]) -> float:
        total = 0.0
        for document in documents:
            text = bytes(self.order - 1) + document
            for place in range(self.order - 1, len(text)):
                total -= math.log2(self.probability(text[place - self.order + 1 : place], text[place]))
        return total


class TestBits:
    @given(train=TEXTS, held_out=TEXTS, order=st.integers(1, 6))
    def test_equals_the_slow_reference(self, train: list[bytes], held_out: list[bytes], order: int) -> None:
        model = ByteNgramModel(order)
        model.fit(train)
        assert model.bits(held_out) == pytest.approx(SlowNgramModel(order, train).bits(held_out), rel=1e-12)

    def test_does_not_depend_on_where_the_text_is_cut_into_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        documents = [b"the cat sat on the mat " * 9, b"", b"and so on"]
        whole = ByteNgramModel()
        whole.fit(documents)
        monkeypatch.setattr(ngrams, "_CHUNK_BYTES", 7)
        cut = ByteNgramModel()
        cut.fit(documents)
        assert cut.bits(documents) == pytest.approx(whole.bits(documents), rel=1e-12)

    def test_without_training_is_eight_bits_per_byte(self) -> None:
        model = ByteNgramModel()
        model.fit([])
        assert model.bits([b"anything"]) == 64

    def test_text_like_the_training_text_is_cheaper_than_noise(self) -> None:
        model = ByteNgramModel()
        model.fit([b"def run(self):\n    return self.value\n" * 50])
        assert model.bits([b"    return self"]) < 15 * 1 < 15 * 8 < model.bits([b"\xfe\xb2\x91qZ\x07~~%%^^|!?"])


class TestProbabilities:
    @given(train=TEXTS, context=st.binary(max_size=8), order=st.integers(1, 8))
    def test_are_positive_and_sum_to_one(self, train: list[bytes], context: bytes, order: int) -> None:
        model = ByteNgramModel(order)
        model.fit(train)
        probabilities = model.probabilities(context)
        assert probabilities.min() > 0
        assert probabilities.sum() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("order", [0, 9])
def test_an_order_that_does_not_fit_a_word_is_refused(order: int) -> None:
    with pytest.raises(ValueError, match=f"order is {order}"):
        ByteNgramModel(order)
