"""A verification that was interrupted goes on behind what it has read, unless that changed meanwhile."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support import token_runs
from support.given_shards import index
from support.tars import captioned

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_trainer.inspecting import targets, verify
from pretrain_trainer.inspecting.notes import Notes


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    index(captioned(tmp_path / "set"))
    return tmp_path / "set"


def read_all(folder: Path) -> Notes:
    """Notes of all shards, as of a verification that was interrupted behind the last."""
    sources = targets.find(str(folder), "").sources
    notes, before = Notes(sources), Notes(sources).read()
    for task in (task for source in sources for task in verify.tasks(source)):
        notes.add(task, verify.verify(replace(task, before=before.get(verify.address_of(task)))))
    return notes


def damage(path: Path, *, in_silence: bool) -> None:
    """Another byte in a caption; in silence: with the time that the file had before."""
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"caption of", b"Caption of", 1))
    if in_silence:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def findings(notes: Notes) -> list[str]:
    return [str(finding) for found in notes.read().values() for finding in found.findings]


def test_what_was_read_is_not_read_again(folder: Path) -> None:
    read_all(folder)
    damage(folder / "000001.tar", in_silence=True)
    assert findings(read_all(folder)) == []


def test_what_changed_since_is(folder: Path) -> None:
    read_all(folder)
    damage(folder / "000001.tar", in_silence=False)
    found = findings(read_all(folder))
    assert found
    assert all("000001.tar" in finding for finding in found)


def test_another_index_is_a_change(folder: Path) -> None:
    read_all(folder)
    (folder / "000001.idx").write_bytes((folder / "000000.idx").read_bytes())
    assert any("000001.tar" in finding for finding in findings(read_all(folder)))


def test_faults_are_told_again_without_being_read_again(folder: Path) -> None:
    damage(folder / "000002.tar", in_silence=False)
    first = findings(read_all(folder))
    assert findings(read_all(folder)) == first != []


def test_a_shard_that_was_away_is_looked_for_again(folder: Path) -> None:
    (folder / "000002.tar").rename(folder / "away")
    assert findings(read_all(folder))
    (folder / "away").rename(folder / "000002.tar")
    assert findings(read_all(folder)) == []


def test_a_line_that_was_cut_is_no_line(folder: Path) -> None:
    notes = read_all(folder)
    before = dict(notes.read())
    notes.path.write_bytes(notes.path.read_bytes()[:-20])
    assert notes.read() == dict(list(before.items())[:-1])
    notes.path.write_bytes(b"\xff\n[1, {}]\nnull\n{}\n" + notes.path.read_bytes())
    assert list(notes.read()) == list(before)[:-1]


def test_other_shards_at_the_place_have_notes_of_their_own(folder: Path) -> None:
    before = read_all(folder)
    captioned(folder, shards=2)
    (folder / layout.MANIFEST).unlink()
    (folder / "000002.tar").unlink()
    index(folder)
    assert Notes(targets.find(str(folder), "").sources).path != before.path


def test_token_shards_are_noted_as_well(tmp_path: Path) -> None:
    token_runs.write_source(Storage(str(tmp_path)), "even", seed=1, train=20)
    notes = read_all(tmp_path / layout.shards(token_runs.UPSTREAM["Encode"], "even"))
    assert [found.version != "" for found in notes.read().values()] == [True, True]


def test_a_folder_that_cannot_be_written_to_only_costs_the_notes(
    folder: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state.write_text("no folder")
    assert findings(read_all(folder)) == []
    assert "cannot be written" in capsys.readouterr().err


def test_a_complete_verification_leaves_nothing(folder: Path) -> None:
    notes = read_all(folder)
    notes.remove()
    notes.remove()
    assert notes.read() == {}
