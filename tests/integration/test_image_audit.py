"""Audits of runs that learn from images: clean ones, and those whose ledger, shards or reader are not as they should be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.image_ledger_runs import ImageLedgerRun
from support.ledger_runs import FINGERPRINT
from support.token_runs import UPSTREAM

from pretrain_api import layout
from pretrain_api.image_shards import HELD_OUT, LEFT_OUT
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import Audit, audit
from pretrain_trainer.data import opened
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.image_source import save_numbers
from pretrain_trainer.training import commit_log


def a_run(folder: Path, **more: Any) -> ImageLedgerRun:
    return ImageLedgerRun(Storage(str(folder / "run")), **more)


@pytest.fixture
def run(tmp_path: Path) -> ImageLedgerRun:
    return a_run(tmp_path)


def texts(found: Audit) -> list[str]:
    return [str(difference) for difference in found.differences]


class TestInOrder:
    @pytest.mark.parametrize("captioned", [False, True])
    def test_a_run_that_was_killed_and_resized_with_other_weights_is_clean(
        self, tmp_path: Path, captioned: bool
    ) -> None:
        run = a_run(tmp_path, captioned=captioned, max_epochs=(None, 2))
        for world, weights, lost in ((1, (7, 3), 3), (7, (7, 3), 0), (5, (1, 3), 2), (12, (1, 3), 1), (8, (2, 1), 0)):
            run.train(5, world=world, weights=weights, lost=lost)
        found = audit(run.storage)
        assert texts(found) == []
        assert (found.starts, found.steps, found.weights, found.samples_read) == (5, 25, 3, 300)

    def test_the_ledger_does_not_depend_on_the_number_of_ranks(self, tmp_path: Path) -> None:
        lines = []
        for world in (1, 2, 3, 7):
            run = a_run(tmp_path / str(world))
            run.train(6, world=world)
            lines.append([run.storage.read_bytes(commit.history) for commit in commit_log.read_log(run.storage)])
        assert all(each == lines[0] for each in lines)

    def test_neither_the_index_of_the_tars_nor_the_working_folder_matters(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        run = a_run(Path())
        run.train(4)
        for index in tmp_path.rglob("*.idx"):
            index.unlink()
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        found = audit(Storage(str(tmp_path / "run")))
        assert (texts(found), found.samples_read) == ([], 48)


class Defective:
    """A reader that gives another image than it was asked for, at some places of the first source."""

    def __init__(self, storage: Storage, places: opened.Places) -> None:
        self._inner: Any = opened.reader(storage, places)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, source: np.ndarray, index: np.ndarray) -> ImageSamples:
        found: ImageSamples = self._inner.read(source, np.where((source == 0) & (index == 7), 8, index))
        return found


class TestOutOfOrder:
    def test_a_reader_that_skipped_an_image_is_told_with_the_sample_shard_and_record(self, tmp_path: Path) -> None:
        run = a_run(tmp_path, batch=8, reader=Defective)
        run.train(4)
        found = audit(run.storage).differences
        assert found
        assert {(d.place.source, d.place.shard) for d in found} == {("s0", "000.tar")}
        assert found[0].what.startswith("the sample was read with another content: the ledger has digest ")
        assert found[0].place.slot is None

    def test_a_digest_is_told_of_even_when_all_checksums_were_made_to_fit(self, run: ImageLedgerRun) -> None:
        run.train(8)
        path = commit_log.read_log(run.storage)[1].history
        lines = [json.loads(text) for text in run.storage.read_bytes(path).splitlines()]
        digests = lines[1]["read"]["digests"]
        digests[3], digests[4] = digests[4], digests[3]
        run.storage.write_bytes(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        run.seal_again()
        first, second = texts(audit(run.storage))
        assert first.startswith("step 6, sample 64, source s")
        assert second.startswith("step 6, sample 66, source s")

    def test_an_image_that_was_named_a_stand_in_and_was_none_changes_the_digest(self, run: ImageLedgerRun) -> None:
        run.train(4)
        path = commit_log.read_log(run.storage)[0].history
        lines = [json.loads(text) for text in run.storage.read_bytes(path).splitlines()]
        lines[0]["read"]["standIns"] = [3]
        run.storage.write_bytes(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        run.seal_again()
        found = audit(run.storage)
        assert found.stand_ins == 1
        unnoted, digest = texts(found)
        assert unnoted.startswith("step 1, sample 3")
        assert "is named a stand-in, but there is no quarantine/" in unnoted
        assert digest.startswith("step 1, sample 3")

    def test_a_tar_that_was_changed_is_named_and_its_images_show_in_the_digests(self, tmp_path: Path) -> None:
        run = a_run(tmp_path, batch=8)
        run.train(8)
        tar = run.manifests["s0"].parent / "001.tar"
        tar.write_bytes(tar.read_bytes().replace(b"IDAT", b"IDAX"))
        first, *others = audit(run.storage).differences
        assert str(first) == "source s0, shard 001.tar: its SHA-256 is not that of its manifest"
        assert others
        assert {other.place.shard for other in others} == {"001.tar"}

    @pytest.mark.parametrize("kept", [0, 1000, 3000])
    def test_a_tar_that_was_cut_short_is_named_once(self, run: ImageLedgerRun, kept: int) -> None:
        run.train(8)
        tar = run.manifests["s0"].parent / "000.tar"
        tar.write_bytes(tar.read_bytes()[:kept])
        assert [(d.place.source, d.place.shard) for d in audit(run.storage).differences] == [("s0", "000.tar")]

    def test_a_tar_that_is_gone_is_named(self, run: ImageLedgerRun) -> None:
        run.train(8)
        (run.manifests["s1"].parent / "002.tar").unlink()
        (only,) = audit(run.storage).differences
        assert (only.place.source, only.place.shard) == ("s1", "002.tar")
        assert "FileNotFoundError" in only.what

    def test_another_manifest_of_the_tars_is_not_taken(self, run: ImageLedgerRun) -> None:
        run.train(4)
        manifest = run.manifests["s0"]
        manifest.write_text(manifest.read_text() + "\n")
        (only,) = texts(audit(run.storage))
        assert only == f"source s0: {manifest.as_uri()} is not the manifest that Encode read"

    @pytest.mark.parametrize("name", [HELD_OUT, LEFT_OUT])
    def test_lists_of_records_that_do_not_fit_the_manifest_are_not_taken(self, run: ImageLedgerRun, name: str) -> None:
        run.train(4)
        save_numbers(run.storage, f"{layout.shards(UPSTREAM['Encode'], 's0')}/{name}", np.arange(5, 12))
        (only,) = texts(audit(run.storage))
        assert only.startswith("source s0: held-out.npy and left-out.npy leave ")

    def test_other_records_held_out_show_in_the_digests(self, tmp_path: Path) -> None:
        run = a_run(tmp_path, batch=8)
        run.train(4)
        path = f"{layout.shards(UPSTREAM['Encode'], 's0')}/{HELD_OUT}"
        held_out = np.load(run.storage.path(path))
        save_numbers(run.storage, path, np.where(held_out == held_out[0], held_out[0] + 1, held_out))
        assert {d.place.source for d in audit(run.storage).differences} == {"s0"}

    def test_the_order_is_that_of_images(self, run: ImageLedgerRun) -> None:
        run.train(4)
        assert run.storage.read_json(layout.ledger_order(FINGERPRINT))["sequenceLength"] == 0
