import os

import pytest

from pretrain_api.child import ENV_PROGRAM
from pretrain_trainer.process import is_orphan


class TestIsOrphan:
    """`ENV_PROGRAM` is the number of the process that a body started."""

    def test_not_where_no_body_started_anything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(ENV_PROGRAM, raising=False)
        assert not is_orphan()

    def test_not_the_program_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(ENV_PROGRAM, str(os.getpid()))
        assert not is_orphan()

    def test_not_a_rank_below_its_agent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(ENV_PROGRAM, str(os.getppid()))
        assert not is_orphan()

    def test_a_rank_that_another_process_inherited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(ENV_PROGRAM, str(os.getppid() + 1_000_000))
        assert is_orphan()
