"""A published folder is whole or not there, on local storage and on object stores."""

import os
import tempfile
import uuid
from pathlib import Path

import pytest

from pretrain_api.storage import Storage
from pretrain_trainer.exporting.folders import publish


def a_folder(place: Path, **files: str) -> Path:
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_text(content)
    return place


@pytest.fixture(params=["local", "object store"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


class TestPublish:
    def test_puts_all_files_in_place(self, storage: Storage, tmp_path: Path) -> None:
        publish(storage, a_folder(tmp_path / "storage" / "new", config="1", weights="2"), "export/model", "config")
        assert storage.names("export/model") == ["config", "weights"]
        assert storage.read_bytes("export/model/weights") == b"2"

    def test_replaces_what_stood_there_whole(self, storage: Storage, tmp_path: Path) -> None:
        publish(storage, a_folder(tmp_path / "storage" / "old", config="1", old="x"), "export/model", "config")
        publish(storage, a_folder(tmp_path / "storage" / "new", config="2", new="y"), "export/model", "config")
        assert storage.names("export/model") == ["config", "new"]
        assert storage.names("export") == ["model"]
        assert storage.read_bytes("export/model/config") == b"2"

    def test_takes_a_folder_of_another_file_system(self, tmp_path: Path) -> None:
        """A pod's own files and the volume that is its storage."""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
            assert os.stat(elsewhere).st_dev != tmp_path.stat().st_dev
            storage = Storage(str(tmp_path / "storage"))
            publish(storage, a_folder(Path(elsewhere, "new"), config="1", weights="2"), "export/model", "config")
        assert storage.names("export/model") == ["config", "weights"]
        assert storage.names("export") == ["model"]


class TestInterrupted:
    def test_an_object_store_has_no_config_until_all_else_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = Storage(f"memory://{uuid.uuid4().hex}")
        publish(storage, a_folder(tmp_path / "old", config="1", weights="x"), "model", "config")
        create = Storage.create

        def fail_at_weights(self: Storage, relative: str) -> object:
            if relative.endswith("weights"):
                raise OSError("connection lost")
            return create(self, relative)

        monkeypatch.setattr(Storage, "create", fail_at_weights)
        with pytest.raises(OSError, match="connection lost"):
            publish(storage, a_folder(tmp_path / "new", config="2", vocabulary="v", weights="y"), "model", "config")
        assert "config" not in storage.names("model")

    def test_local_leftovers_of_a_killed_export_are_removed_by_the_next(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path / "storage"))
        for end in ("replaced", "unfinished"):
            a_folder(tmp_path / "storage" / f"model.{end}", config="0")
        publish(storage, a_folder(tmp_path / "storage" / "new", config="2"), "model", "config")
        assert storage.names("") == ["model"]
