"""The outcome as a termination message: always whole JSON, with the part of the message that matters."""

import pytest

from pretrain_api.events import OUTCOME_BYTES, Outcome, fitted


@pytest.mark.parametrize("letter", ["x", "\n", "漢", "🙂", "\x01"])
def test_a_long_message_is_cut_until_it_fits(letter: str) -> None:
    content = fitted(Outcome(outcome="failed", kind="Exit", message=letter * 5000 + "the error"))
    assert OUTCOME_BYTES - 100 < len(content) <= OUTCOME_BYTES
    assert Outcome.model_validate_json(content).message.endswith("the error")


def test_a_users_mistake_keeps_its_beginning() -> None:
    outcome = Outcome(outcome="userError", code="x", message="spec.data: wrong" + "." * 5000)
    assert Outcome.model_validate_json(fitted(outcome)).message.startswith("spec.data: wrong")


def test_a_short_one_is_left_alone() -> None:
    outcome = Outcome(outcome="complete", fingerprint="0" * 16, message="3 documents")
    assert Outcome.model_validate_json(fitted(outcome)) == outcome
