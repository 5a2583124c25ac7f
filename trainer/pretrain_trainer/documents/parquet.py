"""Reader of parquet files: a document per row, the text in one column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pretrain_api.errors import UserError
from pretrain_api.types.data import DocumentFields
from pretrain_trainer.documents.jsonl import pick
from pretrain_trainer.documents.records import Bad, Record, too_long

_ROWS = 64
"""Rows decoded at a time: with documents at the default bound, still within a few hundred megabytes."""
_BUFFER_BYTES = 1 << 20


def read(file: Any, url: str, max_bytes: int, fields: DocumentFields) -> Iterator[Record | Bad]:
    """A document per row of a seekable file. UserError for a file that is not whole or lacks the columns."""
    try:
        parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken(url, error) from error
    columns = [_column(parquet.schema_arrow, name, url) for name in (fields.text, fields.license) if name]
    number = 0
    try:
        for batch in parquet.iter_batches(batch_size=_ROWS, columns=columns, use_threads=False):
            for index in range(batch.num_rows):
                number += 1
                yield _record(batch, index, f"{url}, row {number}", url, max_bytes, fields)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _broken(url, error) from error


def _broken(url: str, error: BaseException) -> UserError:
    return UserError("broken-parquet", url, f"is not a whole parquet file: {error}.", "Supply the whole file.")


def _column(schema: pa.Schema, name: str, url: str) -> str:
    """The name, if it leads to a column of strings."""
    if schema.names.count(name) > 1:
        what = f"There are {schema.names.count(name)} columns {name!r}."
        raise UserError("text-field-type", url, what, "Write the file with one, or name another column in fields.")
    if name in schema.names:
        kind = schema.field(name).type
    else:
        head, *tail = name.split(".")
        kind = schema.field(head).type if head in schema.names else None
        for part in tail:
            kind = (
                kind.field(part).type if kind and pa.types.is_struct(kind) and kind.get_field_index(part) >= 0 else None
            )
    if kind is None:
        raise UserError(
            "missing-text-field",
            url,
            f"There is no column {name!r}; the file has: {', '.join(schema.names[:10])}.",
            "Name the column in the source's fields.",
        )
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)):
        raise UserError(
            "text-field-type", url, f"The column {name!r} holds {kind}, not strings.", "Name a column of strings."
        )
    return name


def _record(batch: Any, index: int, place: str, url: str, max_bytes: int, fields: DocumentFields) -> Record | Bad:
    try:
        row = {name: column[index].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    except UnicodeDecodeError:
        return Bad("invalid-utf8", place, f"The column {fields.text!r} is not valid UTF-8.")
    text = pick(row, fields.text)[0]
    if text is None:
        return Bad("missing-text-field", place, f"The column {fields.text!r} is null.")
    if len(text) > max_bytes or (len(text) * 4 > max_bytes and len(text.encode()) > max_bytes):
        return too_long(place, max_bytes)
    return Record(text, url, (pick(row, fields.license)[0] if fields.license else "") or "")
