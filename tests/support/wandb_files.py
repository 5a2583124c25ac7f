"""Reads the file of an offline run of Weights & Biases: protobuf records in LevelDB's log format (its doc/log_format.md)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 32768, 7
_FULL, _FIRST, _LAST = 1, 2, 4


def records(file: Path) -> Iterator[Any]:
    """Every record, oldest first."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, whole = file.read_bytes(), _HEADER, b""  # the file's own header is as long as a piece's
    while at + _HEADER <= len(content):
        if _BLOCK - at % _BLOCK < _HEADER:  # no header fits into the rest of the block
            at += _BLOCK - at % _BLOCK
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        piece = content[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
        whole = piece if kind in (_FULL, _FIRST) else whole + piece
        if kind in (_FULL, _LAST):
            record = Record()
            record.ParseFromString(whole)
            yield record
