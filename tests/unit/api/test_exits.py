"""Exit codes and signals."""

import signal

import pytest

from pretrain_api import exits


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        (-9, signal.SIGKILL, "exit -9 (SIGKILL)"),
        (137, signal.SIGKILL, "exit -9 (SIGKILL)"),
        (143, signal.SIGTERM, "exit -15 (SIGTERM)"),
        (0, None, "exit 0"),
        (1, None, "exit 1"),
        (75, None, "exit 75"),
        (128, None, "exit 128"),
        (255, None, "exit 255"),
    ],
)
def test_a_signal_has_two_spellings(code: int, number: signal.Signals | None, words: str) -> None:
    assert exits.signal_of(code) == number
    assert exits.in_words(code) == words
