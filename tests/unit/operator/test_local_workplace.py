"""A place that cannot be written gives an error that says what to do."""

import errno
from pathlib import Path

import pytest

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_operator.bodies.local.workplace import Workplace, written_by_user


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EFBIG, "process-limit"),
        (errno.EMFILE, "process-limit"),
        (errno.EACCES, "no-permission"),
        (errno.EROFS, "no-permission"),
        (errno.ENOTDIR, "storage-not-a-folder"),
        (errno.ELOOP, "storage-not-a-folder"),
        (errno.ENAMETOOLONG, "storage-not-a-folder"),
    ],
)
def test_errors_of_the_place_become_the_user_s(number: int, code: str) -> None:
    with pytest.raises(UserError) as error, written_by_user("/data/run"):
        raise OSError(number, "x", "/data/run/status.json")
    assert (error.value.code, error.value.where) == (code, "/data/run/status.json")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(OSError, match="x"), written_by_user("/data/run"):
        raise OSError(errno.EIO, "x")


@pytest.mark.parametrize("place", ["/dev/null/run", "/proc/run"])
def test_a_folder_that_cannot_be_made(place: str) -> None:
    workplace = Workplace(Storage(place))
    with pytest.raises(UserError) as error, workplace.locked():
        pass
    assert error.value.code == "storage-not-a-folder"


def test_a_run_whose_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(UserError) as error:
        Workplace(Storage(str(tmp_path / "run"))).job(layout.STATUS)
    assert error.value.code == "storage-not-a-folder"


def test_opening_a_workplace_changes_nothing(tmp_path: Path) -> None:
    place = Workplace(Storage(str(tmp_path / "run")))
    assert place.job(layout.RUN) is None
    assert place.runner() == 0
    assert place.log(Stage.TRAIN) == tmp_path / "run" / "logs" / "train.log"
    assert not (tmp_path / "run").exists()


def test_other_storage_keeps_the_machine_s_part_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    places = [Workplace(Storage(uri)) for uri in ("memory://a", "memory://a", "memory://b")]
    assert places[0].root == places[1].root != places[2].root
    assert places[0].logs.is_relative_to(tmp_path / "pretrain")
