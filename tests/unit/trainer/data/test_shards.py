import io
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from webdataset import autodecode
from webdataset.autodecode import Decoder
from webdataset.tariterators import group_by_keys, tar_file_iterator

from pretrain_api.storage import Storage
from pretrain_trainer.data.packing import plan, write_shard
from pretrain_trainer.data.shards import ShardWriter, samples_per_record, token_dtype
from pretrain_trainer.data.token_streams import stream_path

TOKENS = np.arange(4 * 6, dtype=np.uint16).reshape(4, 6)
DOCUMENTS = np.array([0, 7, 20], dtype=np.uint32)


def a_shard() -> tuple[bytes, np.ndarray]:
    file = io.BytesIO()
    writer = ShardWriter(file)
    writer.write(3, TOKENS, DOCUMENTS, 24)
    writer.write(4, TOKENS[:2], DOCUMENTS[:2], 9)
    index, size, _ = writer.close()
    assert size == len(file.getvalue())
    return file.getvalue(), index


class TestShard:
    def test_index_points_at_the_members_content(self) -> None:
        content, index = a_shard()
        for row, (tokens, documents) in zip(index, [(TOKENS, DOCUMENTS), (TOKENS[:2], DOCUMENTS[:2])], strict=True):
            for name, array in (("tokens", tokens), ("documents", documents)):
                payload = content[int(row[f"{name}_offset"]) :][: int(row[f"{name}_length"])]
                assert np.array_equal(np.load(io.BytesIO(payload)), array)
                assert google_crc32c.value(payload) == row[f"{name}_crc32c"]
        assert index["samples"].tolist() == [4, 2]
        assert index["tokens"].tolist() == [24, 9]

    def test_is_the_same_in_every_run(self) -> None:
        assert a_shard()[0] == a_shard()[0]


def test_the_stock_library_reads_every_token_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what webdataset's own pipeline is made of; its WebDataset class leaves the file to the garbage collector."""
    monkeypatch.setattr("pretrain_trainer.data.shards.RECORD_BYTES", 10_000)
    stream = np.arange(50_000, dtype=np.uint16)
    storage = Storage(str(tmp_path))
    with storage.create(stream_path("pieces/0", "train")) as file:
        np.save(file, stream)
        np.save(file, np.arange(0, len(stream), 37))
    packings = plan(storage, "s", "train", [("pieces/0", len(stream))], 63, 50_000, 49_999, 40_000)
    shards = [write_shard(packing) for packing in packings]
    assert len(shards) > 1
    blocks, starts = [], []
    for shard in shards:
        with open(tmp_path / "s" / shard.name, "rb") as file:
            files = ({**member, "__url__": shard.name} for member in tar_file_iterator(file))
            for record in map(Decoder([autodecode.basichandlers]), group_by_keys(files)):
                starts.append(record["documents.npy"] + sum(block.size for block in blocks))
                blocks.append(record["tokens.npy"])
    tokens = np.concatenate([block.reshape(-1) for block in blocks])
    assert np.array_equal(tokens[: len(stream)], stream)
    assert (tokens[len(stream) :] == 49_999).all()
    assert np.array_equal(np.concatenate(starts), np.arange(0, len(stream), 37))


class TestSizes:
    @pytest.mark.parametrize(("vocab_size", "dtype"), [(300, "uint16"), (65536, "uint16"), (65537, "uint32")])
    def test_tokens_take_the_smallest_type_that_holds_the_vocabulary(self, vocab_size: int, dtype: str) -> None:
        assert token_dtype(vocab_size) == np.dtype(dtype)

    @pytest.mark.parametrize("sequence_length", [8, 128, 2048, 8192, 131072])
    @pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
    def test_records_are_between_256_kib_and_1_mib(self, sequence_length: int, dtype: type[np.unsignedinteger]) -> None:
        size = samples_per_record(sequence_length, np.dtype(dtype)) * (sequence_length + 1) * np.dtype(dtype).itemsize
        assert 256 << 10 <= size <= 1 << 20

    def test_a_sequence_longer_than_a_record_is_a_record(self) -> None:
        assert samples_per_record(1 << 20, np.dtype(np.uint32)) == 1


class TestPacking:
    @pytest.mark.parametrize("cuts", [[500], [0, 500], [17, 483], [250, 0, 250], [1] * 500])
    def test_makes_the_same_shards_however_the_line_of_tokens_was_cut(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: list[int]
    ) -> None:
        monkeypatch.setattr("pretrain_trainer.data.shards.RECORD_BYTES", 3 * 8 * 2)
        whole, cut = self.shards(tmp_path / "whole", [500]), self.shards(tmp_path / "cut", cuts)
        assert whole == cut
        assert len(whole) == 11  # of two records of three sequences of eight tokens, the last one not full

    def shards(self, folder: Path, cuts: list[int]) -> list[bytes]:
        storage = Storage(str(folder))
        tokens, starts = np.arange(500, dtype=np.uint16), np.arange(0, 500, 9)
        begin = 0
        for number, length in enumerate(cuts):
            with storage.create(stream_path(f"pieces/{number}", "train")) as file:
                np.save(file, tokens[begin : begin + length])
                np.save(file, starts[(starts >= begin) & (starts < begin + length)] - begin)
            begin += length
        streams = [(f"pieces/{number}", length) for number, length in enumerate(cuts)]
        shard_bytes = 2 * 3 * 8 * 2
        for packing in plan(storage, "s", "train", streams, 7, 1000, 0, shard_bytes):
            write_shard(packing)
        return [path.read_bytes() for path in sorted((folder / "s").glob("*.tar"))]
