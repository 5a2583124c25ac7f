import os
from pathlib import Path

import pytest

from pretrain_api.errors import UserError
from pretrain_trainer.documents import locations
from pretrain_trainer.documents.locations import Location


def urls(pattern: str) -> list[str]:
    return [location.url for location in locations.find(pattern, "spec.x")]


def test_files_come_sorted_with_size_and_version(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "a.md"):
        (tmp_path / name).write_text(name)
    found = locations.find(f"{tmp_path}/*.txt", "spec.x")
    assert [(file.url, file.size) for file in found] == [
        (f"file://{tmp_path}/a.txt", 5),
        (f"file://{tmp_path}/b.txt", 5),
    ]
    assert all(file.version.startswith("mtime=") for file in found)


def test_a_name_with_a_space_and_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert urls("a b.txt") == [f"file://{tmp_path}/a b.txt"]


def test_the_digest_changes_with_any_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    before = locations.digest(locations.find(f"{tmp_path}/*.txt", "spec.x"))
    assert locations.digest(locations.find(f"{tmp_path}/*.txt", "spec.x")) == before
    os.utime(tmp_path / "a.txt", (1, 1))
    touched = locations.digest(locations.find(f"{tmp_path}/*.txt", "spec.x"))
    (tmp_path / "b.txt").write_text("x")
    assert len({before, touched, locations.digest(locations.find(f"{tmp_path}/*.txt", "spec.x"))}) == 3


def test_digests_do_not_confuse_fields() -> None:
    assert locations.digest([Location("a", 1, "2")]) != locations.digest([Location("a", 12, "")])


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UserError, match="no regular file"):
        locations.find(f"{tmp_path}/pipe.txt", "spec.x")


def test_any_file_system_that_fsspec_knows() -> None:
    import fsspec

    with fsspec.open("memory://corpus-of-test-locations/a.txt", "wb") as file:
        file.write(b"text")
    assert urls("memory://corpus-of-test-locations/*.txt") == ["memory:///corpus-of-test-locations/a.txt"]
