"""An S3 server whose disk is full: it still gives what it has, and whoever writes is told what to do."""

from types import FunctionType

import pytest
from support.cluster.s3 import S3Server

from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.storage_faults import explained


@pytest.mark.parametrize("write", [Storage.write_bytes, Storage.create_exclusive], ids=["payload", "commit"])
def test_a_write_is_refused_as_a_full_disk_and_taken_once_there_is_space(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, write: FunctionType
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"full-{write.__name__.replace('_', '-')}"
    storage = Storage(f"{s3_server.make_bucket(bucket)}/run", s3_server.url)
    storage.write_bytes("before", b"there")
    with s3_server.full(bucket):
        with pytest.raises(OSError, match="No space left") as caught:
            write(storage, "object", bytes(100_000))
        mistake = explained(caught.value, storage)
        assert isinstance(mistake, UserError)
        assert (mistake.code, str(mistake).count(bucket)) == ("disk-full", 1)
        assert storage.read_bytes("before") == b"there"
    write(storage, "object", bytes(100_000))
    assert storage.read_bytes("object") == bytes(100_000)
