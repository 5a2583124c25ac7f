"""Checkpoints whose files were damaged: always noticed, recorded, and the one before is taken; sharing storage is, too."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.saved_states import STEPS, begun, save, tensors, three_saved
from support.token_runs import commits

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_trainer.training import commit_log, world
from pretrain_trainer.training.checkpoints import Position
from pretrain_trainer.training.log_protocol import Fenced, Overtaken
from pretrain_trainer.training.payload_files import CorruptCheckpoint, read_manifest, verify


@pytest.fixture(scope="module")
def alone() -> Iterator[world.World]:
    with world.join(1) as joined:
        yield joined


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, alone: world.World) -> Path:
    return three_saved(tmp_path_factory.mktemp("saved"), alone)


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "run"))


def loaded(root: Path, joined: world.World) -> int:
    """The step that a new start goes on from, after a look at every bit."""
    state = {name: torch.zeros_like(tensor) for name, tensor in tensors(0).items()}
    position = begun(root, joined).load(state)
    assert position is not None
    for name, expected in tensors(position.step).items():
        assert torch.equal(state[name], expected), name
    return position.step


def payload(root: Path, step: int, name: str) -> Path:
    commit = next(c for c in commits(root) if c["step"] == step)
    return root / commit["data"] / name


def flipped(place: float) -> Callable[[Path, Path], None]:
    def damage(file: Path, older: Path) -> None:
        content = bytearray(file.read_bytes())
        content[min(len(content) - 1, int(place * len(content)))] ^= 1 << random.Random(place).randrange(8)
        file.write_bytes(content)

    return damage


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    **{f"a bit at {place}": flipped(place) for place in (0.0, 0.2, 0.5, 0.8, 1.0)},
    "cut by a byte": lambda file, older: file.write_bytes(file.read_bytes()[:-1]),
    "cut in half": lambda file, older: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "emptied": lambda file, older: file.write_bytes(b""),
    "of an older checkpoint": lambda file, older: file.write_bytes(older.read_bytes()),
    "gone": lambda file, older: file.unlink(),
}


@pytest.mark.parametrize("name", ["rank-00000.tensors", layout.MANIFEST])
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_is_taken_and_the_log_says_why(
    run: Path, alone: world.World, damage: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGES[damage](payload(run, 9, name), payload(run, 6, name))
    assert loaded(run, alone) == 6
    assert "checkpoint of step 9 is damaged, trying the one before" in caplog.text
    newest = json.loads(max((run / layout.COMMIT_LOG).glob("*.json")).read_text())
    assert (newest["kind"], newest["of"]) == ("bad", commits(run)[-1]["sequence"])
    assert name in newest["reason"]


def test_bytes_behind_the_end_are_nobodys(run: Path, alone: world.World) -> None:
    """What was written is still there, whole."""
    with payload(run, 9, "rank-00000.tensors").open("ab") as file:
        file.write(b"more")
    assert loaded(run, alone) == 9


def test_a_record_that_cannot_be_read_is_as_good_as_none(run: Path, alone: world.World) -> None:
    path = run / layout.commit(commits(run)[-1]["sequence"])
    path.write_bytes(path.read_bytes()[:-2])
    assert loaded(run, alone) == 6


def test_two_damaged_ones_lead_to_the_third_and_all_to_an_error(run: Path, alone: world.World) -> None:
    for step in (9, 6):
        payload(run, step, layout.MANIFEST).unlink()
    assert loaded(run, alone) == 3
    payload(run, 3, layout.MANIFEST).unlink()
    with pytest.raises(CorruptCheckpoint, match="none of them can be read any more"):
        loaded(run, alone)


def test_one_that_somebody_restores_counts_again_when_no_other_is_left(run: Path, alone: world.World) -> None:
    manifest = payload(run, 9, layout.MANIFEST)
    content = manifest.read_bytes()
    manifest.unlink()
    assert loaded(run, alone) == 6
    manifest.write_bytes(content)
    assert loaded(run, alone) == 6, "what was found damaged once is not asked before those that were not"
    for step in (6, 3):
        payload(run, step, layout.MANIFEST).unlink()
    assert loaded(run, alone) == 9


def test_damaged_ones_do_not_count_among_those_that_are_kept(run: Path, alone: world.World) -> None:
    payload(run, 9, layout.MANIFEST).unlink()
    checkpoints = begun(run, alone, keep_last=2)
    assert checkpoints.load(tensors(0)) == Position(step=6, samples=6)
    save(checkpoints, 12)
    assert [c["step"] for c in commits(run) if (run / c["data"]).exists()] == [6, 12]


def test_a_tensor_without_elements_is_no_damage(tmp_path: Path, alone: world.World) -> None:
    """As a rank has that holds no row of a small parameter."""
    state = {"model.z": torch.empty(0), "model.a": torch.randn(5), "model.m": torch.empty(0, 4)}
    checkpoints = begun(tmp_path, alone)
    checkpoints.save(state, Position(step=1), (), [], final=False)
    checkpoints.wait()
    (commit,) = commits(tmp_path)
    storage = Storage(str(tmp_path))
    found = dict(verify(storage, commit["data"], read_manifest(storage, commit["data"], commit["manifest_sha256"])))
    assert found == {"rank-00000.tensors": 20}
    loaded = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    assert begun(tmp_path, alone).load(loaded) == Position(step=1)
    assert torch.equal(loaded["model.a"], state["model.a"])


@pytest.mark.parametrize("name", ["../../../outside", "/etc/passwd", "rank-00000.tensors/../../x", "other"])
def test_a_manifest_that_leads_elsewhere_is_damaged(run: Path, alone: world.World, name: str) -> None:
    rewritten(run, 9, lambda manifest: manifest["tensors"]["model.a"]["chunks"][0].update(file=name))
    assert loaded(run, alone) == 6


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("tensors"), lambda m: m["tensors"].clear() or m.update(tensors=[]),
        lambda m: m["tensors"]["model.a"].update(shape=[10**15, 11]), lambda m: m["tensors"]["model.a"].update(dtype="x"),
        lambda m: m["tensors"]["model.a"]["chunks"][0].update(bytes=-1), lambda m: m.update(position={"step": "x"}),
    ],
)  # fmt: skip
def test_a_manifest_of_another_form_is_damaged(run: Path, alone: world.World, change: Callable[[Any], object]) -> None:
    rewritten(run, 9, change)
    assert loaded(run, alone) == 6


def rewritten(run: Path, step: int, change: Callable[[Any], object]) -> None:
    """Another manifest, with a record that names its checksum: what somebody who may write to the storage could do."""
    path = payload(run, step, layout.MANIFEST)
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    record = next(c for c in commits(run) if c["step"] == step)
    record["manifest_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run / layout.commit(record["sequence"])).write_text(json.dumps(record))


def test_a_start_that_was_frozen_behind_its_fence_removes_nothing_of_a_later_one(
    run: Path, alone: world.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = commit_log.fence

    def frozen(*arguments: Any, **options: Any) -> Fenced:
        fenced = fence(*arguments, **options)
        monkeypatch.setattr(commit_log, "fence", fence)
        later = begun(run, alone)
        assert later.load(tensors(0)) == Position(step=9, samples=9)
        save(later, 12)
        return fenced

    monkeypatch.setattr(commit_log, "fence", frozen)
    begun(run, alone)
    assert payload(run, 12, layout.MANIFEST).exists()
    assert loaded(run, alone) == 12


def test_what_cannot_be_removed_ends_nothing_and_goes_the_next_time(
    run: Path, alone: world.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = begun(run, alone, keep_last=1)
    checkpoints.load(tensors(0))
    with monkeypatch.context() as patched:
        patched.setattr(Storage, "remove", lambda self, relative: (_ for _ in ()).throw(ConnectionError("cut")))
        save(checkpoints, 12)
    assert len(list((run / layout.CHECKPOINT_DATA).iterdir())) == 4
    save(checkpoints, 15)
    assert len(list((run / layout.CHECKPOINT_DATA).iterdir())) == 1


def test_an_earlier_start_cannot_commit_nor_remove_any_more(run: Path, alone: world.World) -> None:
    old, new = begun(run, alone, keep_last=1), begun(run, alone)
    assert old.load(tensors(0)) == new.load(tensors(0))
    with pytest.raises(Overtaken, match="Another start of the training has taken over"):
        save(old, 12)
    assert [c["step"] for c in commits(run) if (run / c["data"]).exists()] == list(STEPS)
    save(new, 15)
    assert loaded(run, alone) == 15
