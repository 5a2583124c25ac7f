"""A stop that comes before the program is there to hear it."""

import os
import signal

import pytest

from pretrain_trainer import early


def test_a_signal_that_comes_early_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "_asked", [])
    before = signal.getsignal(signal.SIGTERM)
    try:
        early.listen()
        assert not early.was_asked_to_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert early.was_asked_to_stop()
    finally:
        signal.signal(signal.SIGTERM, before)
