"""Reader of WebDataset tars: a document per record, its text in a member or in a field of the record's JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from pretrain_api.problems import is_encodable
from pretrain_api.samples import kind_of
from pretrain_api.types.data import DocumentFields
from pretrain_trainer.documents.jsonl import pick
from pretrain_trainer.documents.records import Bad, Record, decode, too_long
from pretrain_trainer.documents.streams import Readable
from pretrain_trainer.indexing.names import split_name
from pretrain_trainer.indexing.tars import Streamed, content, members

_DEFAULT = "text"
_TEXT_MEMBERS = ("txt", "text")
_JSON = "json"

Found = Mapping[str, bytes | None]
"""The members of a record; None: of no interest, or longer than a document may be."""


def read(stream: Readable, url: str, max_bytes: int, fields: DocumentFields) -> Iterator[Record | Bad]:
    """The documents in their order. UserError for a file that is no whole tar."""
    tape = Streamed(stream)
    key, found, long = "", dict[str, bytes | None](), set[str]()
    for file in members(tape, url):
        parts = split_name(file.name)
        if parts is None:
            continue
        if parts[0] != key:
            if found:
                yield _document(found, long, f"{url}, record {key}", url, max_bytes, fields)
            key, found, long = parts[0], {}, set()
        member, wanted = parts[1], _may_be_wanted(parts[1], fields)
        if wanted and file.size > max_bytes:
            long.add(member)
        found[member] = b"".join(content(tape, file, url)) if wanted and member not in long else None
    if found:
        yield _document(found, long, f"{url}, record {key}", url, max_bytes, fields)


def _may_be_wanted(member: str, fields: DocumentFields) -> bool:
    return kind_of(member) in ("text", "json") or member in (fields.text, fields.license)


def _document(
    found: Found, long: set[str], place: str, url: str, max_bytes: int, fields: DocumentFields
) -> Record | Bad:
    text = field(found, long, fields.text, place, max_bytes)
    if text is None:
        has = ", ".join(sorted(found))
        return Bad(
            "missing-text-field", place, f"There is no member or JSON field {fields.text!r}; the record has: {has}."
        )
    if isinstance(text, Bad):
        return text
    license = field(found, long, fields.license, place, max_bytes) if fields.license else ""
    if isinstance(license, Bad):
        return Bad("license-field-type", place, f"The field {fields.license!r}: {license.problem}")
    return Record(text, url, (license or "").strip())


def field(found: Found, long: Collection[str], name: str, place: str, max_bytes: int) -> str | Bad | None:
    """The text of a member or JSON field of that name (spec.data.sources[].fields); None where there is none. Members in
    `long` are longer than `max_bytes`."""
    member, path = _place(name, found)
    if member not in found:
        return None
    if member in long:
        return too_long(place, max_bytes)
    data = found[member] or b""
    return _json_value(data, path, place) if path else decode(data, place)


def members_of(name: str, members: Collection[str]) -> tuple[str, ...]:
    """Those of the members that may hold what `field` finds by a name; empty where none does."""
    whole = tuple(n for n in _whole(name) if n in members)
    inside, _ = _place(name, [m for m in members if m not in whole])
    return (*whole, *([inside] if inside in members and inside not in whole else ()))


def _whole(name: str) -> tuple[str, ...]:
    """The members that a name may stand for."""
    return (name, *_TEXT_MEMBERS) if name == _DEFAULT else (name,)


def _place(name: str, members: Collection[str]) -> tuple[str, str]:
    """The member with the field, and the path in its JSON; an empty one where it is the member itself."""
    for member in _whole(name):
        if member in members:
            return member, ""
    head, _, tail = name.partition(".")
    return (head, tail) if tail and head in members and kind_of(head) == "json" else (_JSON, name)


def _json_value(data: bytes, path: str, place: str) -> str | Bad | None:
    text = decode(data, place)
    if isinstance(text, Bad):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Bad("broken-json", place, f"Its JSON is not valid: {error}.")
    value, is_there = pick(value, path) if isinstance(value, dict) else (None, False)
    if not is_there or value is None:
        return None
    if not isinstance(value, str):
        return Bad("text-field-type", place, f"The field {path!r} of its JSON holds no string.")
    if not is_encodable(value):
        return Bad("invalid-utf8", place, f"The field {path!r} of its JSON holds half of a surrogate pair.")
    return value
