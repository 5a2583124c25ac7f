"""Writing token shards: records into a WebDataset tar, with the index that is written beside it. What goes into which
shard is decided by pretrain_trainer.data.packing.

The tar is what webdataset's TarWriter writes for the same samples, byte for byte, with a fixed time, owner and mode; that
class is not used itself because importing webdataset imports torch, half a gigabyte in every process of this stage.
"""

import hashlib
import io
import tarfile
from typing import IO, Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from pretrain_api.shards import INDEX_NAME, SHARD_NAME, Shard, index_dtype
from pretrain_api.storage import Storage

RECORD_BYTES = 512 << 10
"""Size aimed at for the tokens of a record."""
SHARD_BYTES = 512 << 20
"""Size aimed at for a shard."""

Tokens = npt.NDArray[np.unsignedinteger[Any]]


def token_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smaller of the two types that holds every token of the vocabulary."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def samples_per_record(sequence_length: int, dtype: np.dtype[np.unsignedinteger[Any]]) -> int:
    """Sequences in a record: as many as RECORD_BYTES hold, at least one."""
    return max(1, RECORD_BYTES // ((sequence_length + 1) * dtype.itemsize))


class _Digesting(io.RawIOBase):
    """Passes what is written on and keeps size and SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.bytes, self.digest = file, 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        view = memoryview(content)  # type: ignore[arg-type]
        self._file.write(view)
        self.digest.update(view)
        self.bytes += view.nbytes
        return view.nbytes


class ShardWriter:
    """One shard that is being written to an open file. Call `write` per record, then `close`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._out = _Digesting(file)
        self._tar = tarfile.open(fileobj=self._out, mode="w|", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - see close
        self._rows: list[tuple[int, ...]] = []

    def write(self, key: int, tokens: Tokens, documents: npt.NDArray[np.uint32], valid: int) -> None:
        """Add a record.

        `key` is the record's number in its split; `tokens` is [sequences, sequence_length + 1], of which the first
        `valid` in flattened order are no padding; `documents` holds sorted offsets into the flattened tokens.
        """
        documents_offset, documents_length, documents_crc32c = self._member(f"{key:08d}.documents.npy", documents)
        tokens_offset, tokens_length, tokens_crc32c = self._member(f"{key:08d}.tokens.npy", tokens)
        self._rows.append(
            (
                tokens_offset,
                tokens_length,
                tokens_crc32c,
                documents_offset,
                documents_length,
                documents_crc32c,
                len(tokens),
                valid,
            )
        )

    def _member(self, name: str, array: npt.NDArray[np.generic]) -> tuple[int, int, int]:
        """Add an .npy file; offset, length and crc32c of its content."""
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
        content = buffer.getvalue()
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = len(content), 0, 0o444
        member.uname = member.gname = "bigdata"
        offset = self._tar.offset + tarfile.BLOCKSIZE  # a USTAR header is one block for names as short as these
        self._tar.addfile(member, io.BytesIO(content))
        return offset, len(content), google_crc32c.value(content)

    def close(self) -> tuple[npt.NDArray[np.void], int, str]:
        """End the tar; its index, size in bytes and SHA-256."""
        self._tar.close()
        return np.array(self._rows, dtype=index_dtype()), self._out.bytes, self._out.digest.hexdigest()


def publish_index(storage: Storage, folder: str, number: int, index: npt.NDArray[np.void]) -> None:
    """Write the index of a shard."""
    with storage.create(f"{folder}/{INDEX_NAME.format(number)}") as file:
        np.save(file, index, allow_pickle=False)


def described(prefix: str, number: int, index: npt.NDArray[np.void], size: int, sha256: str) -> Shard:
    """The manifest's line on a shard; `prefix` leads from the manifest's folder to the shard's."""
    return Shard(
        name=f"{prefix}{SHARD_NAME.format(number)}",
        bytes=size,
        sha256=sha256,
        records=len(index),
        samples=int(index["samples"].sum()),
        tokens=int(index["tokens"].sum()),
    )
