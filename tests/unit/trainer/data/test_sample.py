from itertools import pairwise
from pathlib import Path

import pytest
from support.prepared import PREPARED, write_documents

from pretrain_api.storage import Storage
from pretrain_trainer.data import documents, sample
from pretrain_trainer.data.documents import divide, part_paths, source_texts
from pretrain_trainer.data.sample import divide_bytes, sample_texts
from pretrain_trainer.data.split import is_held_out, validation_bound

TEXTS = [f"{number:04d} " + "x" * 95 for number in range(1000)]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(str(tmp_path))
    write_documents(storage, "s", TEXTS, documents_per_part=250, documents_per_group=10)
    return storage


def taken(storage: Storage, most_bytes: int, bound: int = 0) -> list[str]:
    return list(sample_texts(storage, PREPARED, "s", most_bytes, bound))


class TestSample:
    @pytest.mark.parametrize("most_bytes", [500, 5_000, 50_000, 99_999])
    def test_holds_about_as_many_bytes_as_asked_for(self, storage: Storage, most_bytes: int) -> None:
        assert most_bytes - 100 <= sum(map(len, taken(storage, most_bytes))) <= most_bytes

    def test_comes_from_all_over_the_source(self, storage: Storage) -> None:
        numbers = [int(text[:4]) for text in taken(storage, 10_000)]
        assert min(numbers) < 100
        assert max(numbers) > 900
        assert max(b - a for a, b in pairwise(numbers)) < 100

    def test_of_everything_is_everything(self, storage: Storage) -> None:
        assert taken(storage, 1 << 30) == TEXTS

    def test_is_the_same_each_time(self, storage: Storage) -> None:
        assert taken(storage, 5000) == taken(storage, 5000)

    def test_leaves_held_out_documents_out(self, storage: Storage) -> None:
        bound = validation_bound(TEXTS, 0.2)
        assert taken(storage, 1 << 30, bound) == [text for text in TEXTS if not is_held_out(text, bound)]

    def test_gives_long_documents_in_parts(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sample, "PART_CHARACTERS", 30)
        parts = taken(storage, 1 << 30)
        assert max(map(len, parts)) == 30
        assert "".join(parts) == "".join(TEXTS)

    def test_of_a_source_without_documents_is_empty(self, tmp_path: Path) -> None:
        assert list(sample_texts(Storage(str(tmp_path)), PREPARED, "none", 100, 0)) == []


class TestShares:
    def test_are_in_proportion_to_the_weights(self) -> None:
        assert divide_bytes(1000, {"a": 3.0, "b": 1.0}) == {"a": 750, "b": 250}


class TestPieces:
    def test_of_a_source_hold_every_document_once_and_in_order(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(documents, "PIECE_BYTES", 3000)
        pieces = [piece for path in part_paths(storage, PREPARED, "s") for piece in divide(storage, path)]
        assert len(pieces) > 30
        assert len({piece.name for piece in pieces}) == len(pieces)
        assert [text for piece in pieces for text in documents.texts(storage, piece)] == TEXTS
        assert list(source_texts(storage, PREPARED, "s")) == TEXTS
