"""Checkpoints whose files were damaged: always noticed, recorded, and the one before is taken; sharing storage is, too."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.saved_states import STEPS, begun, save, tensors, three_saved
from support.token_runs import commits

from pretrain_api import layout
from pretrain_trainer.training import world
from pretrain_trainer.training.checkpoints import Position
from pretrain_trainer.training.commit_log import Overtaken
from pretrain_trainer.training.payload_files import CorruptCheckpoint


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


def test_an_earlier_start_cannot_commit_nor_remove_any_more(run: Path, alone: world.World) -> None:
    old, new = begun(run, alone, keep_last=1), begun(run, alone)
    assert old.load(tensors(0)) == new.load(tensors(0))
    with pytest.raises(Overtaken, match="Another start of the training has taken over"):
        save(old, 12)
    assert [c["step"] for c in commits(run) if (run / c["data"]).exists()] == list(STEPS)
    save(new, 15)
    assert loaded(run, alone) == 15
