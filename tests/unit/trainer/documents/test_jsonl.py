import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_api.types.data import DocumentFields
from pretrain_trainer.documents import jsonl
from pretrain_trainer.documents.records import Bad, Record


class Trickle:
    """Gives one, then two, then three bytes ... whatever is asked for."""

    def __init__(self, content: bytes) -> None:
        self._file, self._next = io.BytesIO(content), 0

    def read(self, size: int = -1, /) -> bytes:
        self._next += 1
        return self._file.read(self._next)


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.integers(1, 12))
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], bound: int) -> None:
    expected = [None if len(line) > bound else line for line in lines]
    assert list(jsonl.lines(Trickle(b"".join(line + b"\n" for line in lines)), bound)) == expected


def test_a_last_line_needs_no_end() -> None:
    assert list(jsonl.lines(io.BytesIO(b"a\nbcd"), 2)) == [b"a", None]
    assert list(jsonl.lines(io.BytesIO(b"a\nbc"), 2)) == [b"a", b"bc"]


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ({"a": {"b": 1}}, "a.b", (1, True)),
        ({"a.b": 2, "a": {"b": 1}}, "a.b", (2, True)),
        ({"a": {"b.c": 3}}, "a.b.c", (3, True)),
        ({"a": None}, "a", (None, True)),
        ({"a": 1}, "a.b", (None, False)),
        ({}, "a", (None, False)),
    ],
)
def test_dots_reach_into_objects_unless_a_field_is_named_so(
    value: dict[str, object], name: str, expected: tuple[object, bool]
) -> None:
    assert jsonl.pick(value, name) == expected


@given(st.text())
def test_any_text_comes_back_as_it_was(text: str) -> None:
    (record,) = jsonl.read(io.BytesIO(json.dumps({"text": text}).encode()), "u", 1 << 20, DocumentFields())
    assert record == Record(text, "u")


@given(st.binary(max_size=40))
def test_no_line_makes_the_reader_fail(line: bytes) -> None:
    for record in jsonl.read(io.BytesIO(line), "u", 1 << 20, DocumentFields()):
        assert isinstance(record, Record | Bad)
