"""Tokens in tars that others wrote: what is stored is what stands in the arrays, or an error says which record it is not."""

import json
from pathlib import Path

import numpy as np
import pytest
from support import token_runs
from support.given_shards import index, write_arrays

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.data.array_streams import ArrayPiece, encode_arrays
from pretrain_trainer.data.token_streams import stream_path

TARGET = "pieces/0"


def piece_of(folder: Path) -> ArrayPiece:
    """The first tar of an indexed folder, none of which is held out."""
    storage = Storage(str(folder / "run"))
    token_runs.write_tokenizer(storage)
    tokenizer = layout.tokenizer(token_runs.UPSTREAM["Tokenizer"])
    return ArrayPiece(storage, tokenizer, TARGET, str(folder / "manifest.json"), 0, "npy", validation_bound=0)


def told_otherwise(folder: Path, **array: object) -> None:
    """The manifest says this of the arrays, of each shard and of all."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for members in (manifest["members"], *(shard["members"] for shard in manifest["shards"])):
        members["npy"]["array"] |= array
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_tokens_are_stored_as_they_are(tmp_path: Path) -> None:
    index(write_arrays(tmp_path, [np.array([5, 0, 60], np.uint32), np.array([[1, 2], [3, 4]], np.uint32)]))
    piece = piece_of(tmp_path)
    assert encode_arrays(piece).train.tokens == 7
    with open(piece.storage.path(stream_path(TARGET, "train")), "rb") as file:
        tokens = np.load(file)
    assert (tokens.dtype, tokens.tolist()) == (np.uint16, [5, 0, 60, 1, 2, 3, 4])


BAD_TOKENS: dict[str, tuple[np.ndarray, dict[str, object], str]] = {
    "outside of the vocabulary": (
        np.array([7, 70_000], np.uint32),
        {"largest": 9},
        "the array has the token 70000, but the vocabulary ends at 60. Write the tokenizer that the tokens were made with in "
        "spec.tokenizer.uri. [token-outside-vocabulary]",
    ),
    "negative": (
        np.array([7, -1], np.int64),
        {"dtype": "<u2", "largest": 7},
        "the array is int64, not uint16 or uint32. Save tokens with array.astype(numpy.uint16), and index the tars again with "
        "`pretrain index`. [token-shards]",
    ),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_what_the_manifest_hides_is_refused_with_its_record(tmp_path: Path, case: str) -> None:
    array, hidden_by, message = BAD_TOKENS[case]
    index(write_arrays(tmp_path, [np.array([1, 2], np.uint32), array]))
    told_otherwise(tmp_path, **hidden_by)
    with pytest.raises(UserError) as refused:
        encode_arrays(piece_of(tmp_path))
    assert str(refused.value) == f"file://{tmp_path}/000000.tar, record 1 (00001), npy: {message}"
