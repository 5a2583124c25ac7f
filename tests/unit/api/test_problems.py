"""Errors survive the way between processes and read as one sentence each."""

import pickle

import pytest

from pretrain_api.errors import UserError
from pretrain_api.problems import InvalidJob, Problem, closest, path_text, shown

ONE = Problem("unknown-field", ("spec", "data", "sources", 0, "x"), "unknown field.", "Write y.", "job.yaml:3")


def test_a_user_error_survives_pickling() -> None:
    error = UserError("a-code", "where", "what.", "Write this.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "where: what. Write this. [a-code]"


def test_an_invalid_job_survives_pickling_with_its_problems() -> None:
    copy = pickle.loads(pickle.dumps(InvalidJob("job.yaml", [ONE, ONE])))
    assert copy.problems == (ONE, ONE)
    assert copy.code == "unknown-field"


def test_one_problem_is_one_line() -> None:
    expected = "job.yaml:3: spec.data.sources[0].x: unknown field. Write y. [unknown-field]"
    assert str(InvalidJob("job.yaml", [ONE])) == expected


def test_several_problems_follow_a_short_first_line() -> None:
    assert str(InvalidJob("job.yaml", [ONE, ONE])).splitlines()[0] == "job.yaml: 2 problems"


def test_keys_with_dots_are_quoted() -> None:
    assert path_text(("metadata", "labels", "a.b/c")) == 'metadata.labels["a.b/c"]'


@pytest.mark.parametrize(
    ("written", "meant"),
    [("sequence_length", "sequenceLength"), ("SequenceLength", "sequenceLength"), ("sed", "seed"), ("qqq", "")],
)
def test_the_closest_name_ignores_capitals_and_underscores(written: str, meant: str) -> None:
    assert closest(written, ["sequenceLength", "seed", "steps"]) == meant


def test_long_values_are_shortened() -> None:
    assert len(shown("x" * 500)) == 80
