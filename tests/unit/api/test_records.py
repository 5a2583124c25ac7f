"""A completion record that was damaged is named, with the way out."""

from pathlib import Path

import pytest

from pretrain_api import layout, records
from pretrain_api.errors import UserError
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage


@pytest.mark.parametrize("content", [b"", b'{"stage":', b"\xff\xfe\0", b"[]", b'{"stage": "Encode", "more": 1}'])
def test_a_damaged_record_says_which_file_to_remove(tmp_path: Path, content: bytes) -> None:
    storage = Storage(str(tmp_path))
    storage.write_bytes(layout.record(Stage.ENCODE, "f1"), content)
    with pytest.raises(UserError) as error:
        records.read(storage, Stage.ENCODE, "f1")
    assert error.value.code == "run-unreadable"
    assert error.value.where.endswith("stages/encode/f1.json")


def test_a_missing_record_is_no_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        records.read(Storage(str(tmp_path)), Stage.ENCODE, "f1")
