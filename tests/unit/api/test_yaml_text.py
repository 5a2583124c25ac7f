"""Scalars are read as kubectl 1.37 reads them; the table was taken from its own answers."""

import pytest

from pretrain_api.problems import InvalidJob
from pretrain_api.yaml_text import compose, scalar

KUBECTL = [
    ("3e-4", 3e-4), ("3.e-4", 3e-4), ("1_000", 1000), ("10_000_000_000", 10_000_000_000), ("0x1F", 31), ("0o17", 15),
    ("017", 15), ("0b11", 3), ("-0x1F", -31), ("+5", 5), ("+.5", 0.5), (".5", 0.5), ("1_0.5", 10.5), ("08", 8.0),
    ("y", True), ("Y", True), ("n", False), ("yes", True), ("No", False), ("on", True), ("OFF", False), ("tRue", "tRue"),
    ("~", None), ("Null", None), ("2026-01-31", "2026-01-31"), ("12:30:45", "12:30:45"), ("1e400", "1e400"),
    ("0x", "0x"), ("_1", "_1"), ("1e", "1e"), (".", "."), ("1,000", "1,000"), ("0X1f", 31), ("0O7", 7), ("00", 0),
    ("9223372036854775807", 9223372036854775807), ("-0", 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), KUBECTL, ids=[text for text, _ in KUBECTL])
def test_an_unquoted_scalar_means_what_it_means_to_kubectl(text: str, value: object) -> None:
    assert (scalar(text), type(scalar(text))) == (value, type(value))


def test_quoted_scalars_stay_text() -> None:
    assert compose("a: 'yes'\nb: \"1\"\nc: |\n  true\nd: !!str 5\n", "x").value == {
        "a": "yes",
        "b": "1",
        "c": "true\n",
        "d": "5",
    }


def test_every_field_and_entry_knows_its_line() -> None:
    composed = compose("a:\n  b: 1\nc:\n- x\n- k:\n    z: 2\n", "x")
    assert composed.lines[("a", "b")] == 2
    assert composed.lines[("c",)] == 3
    assert composed.lines[("c", 1, "k", "z")] == 6


def test_an_alias_is_a_copy() -> None:
    value = compose("a: &x {k: [1]}\nb: *x\n", "x").value
    value["a"]["k"].append(2)
    assert value["b"] == {"k": [1]}


def test_a_merge_fills_in_what_is_not_written() -> None:
    value = compose("base: &b {x: 1, z: 2}\na: {<<: *b, z: 3}\n", "x").value
    assert value["a"] == {"x": 1, "z": 3}


def test_half_a_million_brackets_are_an_error_and_not_a_crash() -> None:
    with pytest.raises(InvalidJob, match=r"yaml-too-deep"):
        compose("[" * 500_000, "x")
