"""Reader of JSON lines: an object per line, the text in one of its fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pretrain_api.problems import is_encodable
from pretrain_api.types.data import DocumentFields
from pretrain_trainer.documents.records import Bad, Record, decode, too_long
from pretrain_trainer.documents.streams import Readable

_CHUNK_BYTES = 1 << 20


def lines(stream: Readable, max_bytes: int) -> Iterator[bytes | None]:
    """Lines without their end; None stands for a line above `max_bytes`, which is never held in memory."""
    rest, skipping = b"", False
    while chunk := stream.read(_CHUNK_BYTES):
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield None if skipping or len(line) > max_bytes else line
            skipping = False
        if len(rest) > max_bytes:
            rest, skipping = b"", True
    if rest or skipping:
        yield None if skipping else rest


def read(stream: Readable, url: str, max_bytes: int, fields: DocumentFields) -> Iterator[Record | Bad]:
    """A document per line; blank lines are passed over. A line counts against the bound as it stands in the file."""
    for number, line in enumerate(lines(stream, max_bytes), 1):
        if line is None:
            yield too_long(f"{url}, line {number}", max_bytes)
        elif line.strip():
            yield _record(line, f"{url}, line {number}", url, fields)


def _record(line: bytes, place: str, url: str, fields: DocumentFields) -> Record | Bad:
    content = decode(line, place)
    if isinstance(content, Bad):
        return content
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        return Bad("broken-json", place, f"The line is not valid JSON: {error}.")
    if not isinstance(value, dict):
        return Bad("broken-json", place, f"The line is {_kind(value)}, not a JSON object.")
    text, found = pick(value, fields.text)
    if not found or text is None:
        names = ", ".join(sorted(map(str, value))[:10])
        return Bad("missing-text-field", place, f"There is no field {fields.text!r}; the line has: {names or 'none'}.")
    if not isinstance(text, str):
        return Bad("text-field-type", place, f"The field {fields.text!r} holds {_kind(text)}, not a string.")
    if not is_encodable(text):
        return Bad("invalid-utf8", place, f"The field {fields.text!r} holds half of a surrogate pair.")
    license = pick(value, fields.license)[0] if fields.license else ""
    if license is not None and not isinstance(license, str):
        return Bad("license-field-type", place, f"The field {fields.license!r} holds {_kind(license)}, not a string.")
    if not is_encodable(license or ""):
        return Bad("invalid-utf8", place, f"The field {fields.license!r} holds half of a surrogate pair.")
    return Record(text, url, license or "")


def pick(value: dict[str, Any], name: str) -> tuple[Any, bool]:
    """The value of a field and whether it is there; dots reach into nested objects unless a field is named so."""
    if name in value:
        return value[name], True
    head, dot, tail = name.partition(".")
    if dot and isinstance(value.get(head), dict):
        return pick(value[head], tail)
    return None, False


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
