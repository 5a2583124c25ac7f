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


def test_a_glob_tells_what_it_finds_and_nobody_can_read(tmp_path: Path) -> None:
    """Folders only where the glob has an ending: in Spark's output, files of that name are folders."""
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").mkdir()
    assert urls(f"{tmp_path}/*") == [f"file://{tmp_path}/a.txt"]
    with pytest.raises(UserError, match=r"b\.txt is a folder, and .*/\*\.txt finds it"):
        urls(f"{tmp_path}/*.txt")
    os.mkfifo(tmp_path / "c.txt")
    with pytest.raises(UserError, match=r"c\.txt is no regular file, and .*/\* finds it"):
        urls(f"{tmp_path}/*")


@pytest.mark.parametrize("path", ["/proc/self/status", "/proc/self/*tatus", "/sys/kernel/mm/*/enabled"])
def test_what_the_kernel_makes_up_is_no_regular_file(path: str) -> None:
    with pytest.raises(UserError) as error:
        locations.find(path, "spec.x")
    assert error.value.code == "not-a-file"
    assert error.value.what.startswith(path.partition("*")[0])


class TestSymbolicLinks:
    @pytest.fixture
    def linked(self, tmp_path: Path) -> Path:
        """A folder that holds nothing but links; `real/` beside it has what they lead to."""
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "a.txt").write_text("four")
        folder = tmp_path / "links"
        folder.mkdir()
        (folder / "a.txt").symlink_to("../real/a.txt")
        return folder

    def test_a_glob_reads_them_with_the_size_and_version_of_their_file(self, linked: Path) -> None:
        found = locations.find(f"{linked}/*.txt", "spec.x")
        assert found == locations.find(f"{linked}/a.txt", "spec.x")
        assert [(file.url, file.size) for file in found] == [(f"file://{linked}/a.txt", 4)]
        os.utime(linked.parent / "real" / "a.txt", (1, 1))
        assert locations.find(f"{linked}/*.txt", "spec.x") != found

    def test_folders_that_lead_back_end_no_search(self, linked: Path) -> None:
        (linked / "again").symlink_to(".")
        (linked / "other").symlink_to("../real")
        assert urls(f"{linked}/**/*.txt") == [f"file://{linked}/a.txt"]
        assert urls(f"{linked}/other/*.txt") == [f"file://{linked}/other/a.txt"]

    @pytest.mark.parametrize(("target", "reason"), [("nothing", "No such file"), ("b.txt", "Too many levels")])
    def test_one_that_leads_nowhere_is_told_by_its_name(self, linked: Path, target: str, reason: str) -> None:
        (linked / "b.txt").symlink_to(target)
        with pytest.raises(UserError) as error:
            urls(f"{linked}/*.txt")
        assert error.value.code == "file-not-found"
        assert f"{linked}/b.txt is a symbolic link that leads nowhere: {reason}" in str(error.value)


def test_any_file_system_that_fsspec_knows() -> None:
    import fsspec

    with fsspec.open("memory://corpus-of-test-locations/a.txt", "wb") as file:
        file.write(b"text")
    assert urls("memory://corpus-of-test-locations/*.txt") == ["memory:///corpus-of-test-locations/a.txt"]
