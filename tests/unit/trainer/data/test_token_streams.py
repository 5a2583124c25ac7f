import io
from pathlib import Path

import numpy as np
import pytest
from support.prepared import PREPARED, write_documents

from pretrain_api.storage import Storage
from pretrain_api.types.model import TrainTokenizer
from pretrain_trainer.data import segments, token_streams
from pretrain_trainer.data.documents import divide, part_paths
from pretrain_trainer.data.split import split_key
from pretrain_trainer.data.token_streams import Encoding, encode_piece, read_stream, text_batches
from pretrain_trainer.tokenizer import load_folder
from pretrain_trainer.tokenizer_training import train

TEXTS = [Path(io.__file__).read_text(), "short", "", "one more text", Path(token_streams.__file__).read_text()]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(str(tmp_path))
    write_documents(storage, "code", TEXTS)
    storage.write_bytes(
        "tokenizer/tokenizer.json", train(TrainTokenizer(vocab_size=300), lambda: iter(TEXTS)).to_str().encode()
    )
    return storage


def encode(storage: Storage, target: str, bound: int = 0) -> token_streams.PieceCounts:
    (piece,) = (piece for path in part_paths(storage, PREPARED, "code") for piece in divide(storage, path))
    return encode_piece(Encoding(storage, "tokenizer", piece, target, bound))


def test_a_long_document_has_the_tokens_of_a_short_one(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = encode(storage, "whole")
    for module in (segments, token_streams):
        monkeypatch.setattr(module, "SEGMENT_CHARACTERS", 300)
    monkeypatch.setattr(token_streams, "BATCH_CHARACTERS", 300)
    assert encode(storage, "cut") == counts
    for whole, cut in zip(read_stream(storage, "whole", "train"), read_stream(storage, "cut", "train"), strict=True):
        assert np.array_equal(whole, cut)


def test_each_document_is_followed_by_the_end_of_text(storage: Storage) -> None:
    encode(storage, "a")
    tokens, begins = read_stream(storage, "a", "train")
    loaded = load_folder(storage, "tokenizer")
    documents = np.split(tokens, begins[1:])
    assert [d[-1] for d in documents] == [loaded.end_of_text] * len(TEXTS)
    assert [loaded.tokenizer.decode(d[:-1].tolist(), skip_special_tokens=False) for d in documents] == TEXTS


def test_counts_say_what_each_split_holds(storage: Storage) -> None:
    bound = sorted(map(split_key, TEXTS))[2]
    counts = encode(storage, "a", bound)
    held_out = [text for text in TEXTS if split_key(text) < bound]
    assert (counts.train.documents, counts.validation.documents) == (3, 2)
    assert counts.validation.text_bytes == sum(len(text.encode()) for text in held_out)
    for split, part in (("train", counts.train), ("validation", counts.validation)):
        assert part.tokens == len(read_stream(storage, "a", split)[0])
        assert sum(part.lengths) == part.documents


def test_a_finished_piece_is_not_encoded_again(storage: Storage) -> None:
    counts = encode(storage, "a")
    storage.remove("tokenizer")
    assert encode(storage, "a") == counts


def test_batches_hold_so_many_characters_and_a_long_text_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_streams, "BATCH_CHARACTERS", 10)
    assert list(text_batches(["a" * 4, "b" * 6, "c", "d" * 30, "e"])) == [["a" * 4, "b" * 6], ["c"], ["d" * 30], ["e"]]
