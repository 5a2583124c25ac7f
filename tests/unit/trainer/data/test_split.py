from hypothesis import given
from hypothesis import strategies as st

from pretrain_trainer.data.split import is_held_out, is_validation, split_key, validation_bound

TEXTS = [f"document {i}" for i in range(2000)]


class TestFraction:
    def test_of_many_documents_about_that_share_is_held_out(self) -> None:
        assert 150 < sum(is_validation(text, 0.1) for text in TEXTS) < 250

    def test_zero_holds_nothing_out(self) -> None:
        assert validation_bound(TEXTS, 0) == 0
        assert not any(is_held_out(text, 0) for text in TEXTS)

    def test_the_key_is_the_published_hash_of_the_utf8_text(self) -> None:
        assert split_key("") == 0x2D06800538D394C2  # XXH3-64 of nothing, from the reference implementation

    @given(st.text(), st.floats(0.02, 0.5))
    def test_the_bound_of_a_source_agrees_with_the_fraction(self, text: str, fraction: float) -> None:
        bound = validation_bound([*TEXTS[:300], text], fraction)
        assert is_held_out(text, bound) == is_validation(text, fraction)


class TestSmallSource:
    def test_holds_the_document_with_the_smallest_key_out(self) -> None:
        texts = [text for text in TEXTS if not is_validation(text, 0.01)][:5]
        bound = validation_bound(texts, 0.01)
        assert [text for text in texts if is_held_out(text, bound)] == [min(texts, key=split_key)]

    def test_with_one_document_keeps_it_for_training(self) -> None:
        assert not is_held_out("alone", validation_bound(["alone"], 1e-9))

    def test_of_copies_of_one_document_keeps_them_for_training(self) -> None:
        assert not is_held_out("same", validation_bound(["same", "same"], 1e-9))

    def test_reads_no_further_than_the_first_held_out_document(self) -> None:
        texts = iter(TEXTS)
        validation_bound(texts, 0.1)
        assert len(list(texts)) > 1900
