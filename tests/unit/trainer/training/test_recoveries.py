"""Recoveries that an agent tells of, each taken once into the history of the steps."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pretrain_api.recoveries import Recovery
from pretrain_trainer.training import recoveries
from pretrain_trainer.training.recoveries import Recoveries, moment

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_recovery(number: int) -> Recovery:
    time = NOON + timedelta(seconds=number)
    return Recovery(
        number=number,
        kind="Restart",
        rank=1,
        cause="exit -9 (SIGKILL)",
        time=time,
        seconds=1.5,
        lost_steps=0,
        phases={},
    )


def tell(path: Path, *numbers: int) -> None:
    with path.open("a") as file:
        file.writelines(a_recovery(number).model_dump_json() + "\n" for number in numbers)


def test_each_is_told_once_as_the_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "recoveries.jsonl"
    found = Recoveries(path)
    assert found.behind(0) == ()
    tell(path, 1)
    assert found.behind(0) == (a_recovery(1),)
    assert found.behind(0) == ()
    tell(path, 2, 3)
    with path.open("a") as file:
        file.write('{"number": 4')  # its end is still to come
    assert found.behind(moment(a_recovery(1))) == (a_recovery(2), a_recovery(3))
    assert found.behind(0) == ()


def test_who_goes_on_from_an_older_state_meets_those_behind_it_again(tmp_path: Path) -> None:
    path = tmp_path / "recoveries.jsonl"
    tell(path, 1, 2, 3)
    assert Recoveries(path).behind(moment(a_recovery(1))) == (a_recovery(2), a_recovery(3))


def test_without_an_agent_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRETRAIN_RECOVERIES", raising=False)
    assert recoveries.of_agent().behind(0) == ()
