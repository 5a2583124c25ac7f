import gzip
import hashlib
import io

import pytest
import zstandard

from pretrain_api.errors import UserError
from pretrain_trainer.documents.streams import Checksummed, compression, content, read_exactly


def everything(data: bytes, codec: str) -> bytes:
    return read_exactly(content(Checksummed(io.BytesIO(data)), codec, "u"), 1 << 30)


@pytest.mark.parametrize(("codec", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
class TestCompression:
    def test_one_member_and_many(self, codec: str, pack: type[bytes]) -> None:
        assert everything(pack(b"one"), codec) == b"one"
        assert everything(pack(b"one") + pack(b"") + pack(b"two"), codec) == b"onetwo"

    def test_every_cut_is_noticed(self, codec: str, pack: type[bytes]) -> None:
        whole = pack(b"some text that is compressed")
        for length in range(len(whole)):
            with pytest.raises(UserError) as error:
                everything(whole[:length], codec)
            assert error.value.code == "truncated-file"

    def test_no_more_than_asked_for(self, codec: str, pack: type[bytes]) -> None:
        stream = content(Checksummed(io.BytesIO(pack(bytes(1 << 24)))), codec, "u")
        assert len(stream.read(1000)) <= 1000


def test_checksum_and_size_are_of_the_whole_raw_file() -> None:
    raw = Checksummed(io.BytesIO(b"abcdef"))
    assert raw.read(2) == b"ab"
    assert raw.sha256() == hashlib.sha256(b"abcdef").hexdigest()
    assert raw.bytes == 6


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl.GZ", ("a.jsonl", "gzip")),
        ("a.zst", ("a", "zstd")),
        ("a.zstd", ("a", "zstd")),
        ("a.txt", ("a.txt", "")),
    ],
)
def test_the_name_tells_the_compression(name: str, expected: tuple[str, str]) -> None:
    assert compression(name) == expected
