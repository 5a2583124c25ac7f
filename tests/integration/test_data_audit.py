"""Audits of runs that are in order, and of runs that somebody or something put out of order."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.ledger_runs import FINGERPRINT, LedgerRun
from support.token_runs import UPSTREAM

from pretrain_api import layout
from pretrain_api.errors import PretrainError, UserError
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import Audit, audit
from pretrain_trainer.auditing.contents import chosen_steps
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.training import commit_log


@pytest.fixture
def run(tmp_path: Path) -> LedgerRun:
    return LedgerRun(Storage(str(tmp_path)))


def texts(found: Audit) -> list[str]:
    return [str(difference) for difference in found.differences]


class TestInOrder:
    def test_a_run_is_clean(self, run: LedgerRun) -> None:
        run.train(10)
        found = audit(run.storage)
        assert texts(found) == []
        assert (found.steps, found.samples, found.samples_read, found.commits) == (10, 120, 120, 3)

    def test_so_is_one_that_was_killed_and_resized_with_other_weights_and_an_exhausted_source(
        self, tmp_path: Path
    ) -> None:
        run = LedgerRun(Storage(str(tmp_path)), max_epochs=(None, 2))
        for world, weights, lost in ((1, (7, 3), 3), (7, (7, 3), 0), (5, (1, 3), 2), (12, (1, 3), 1), (8, (2, 1), 0)):
            run.train(5, world=world, weights=weights, lost=lost, skipped=(6, 7))
        found = audit(run.storage)
        assert texts(found) == []
        assert (found.starts, found.steps, found.weights, found.skipped_steps) == (5, 25, 3, 2)

    def test_the_ledger_does_not_depend_on_the_number_of_ranks(self, tmp_path: Path) -> None:
        lines = []
        for world in (1, 5, 12):
            run = LedgerRun(Storage(str(tmp_path / str(world))))
            run.train(6, world=world)
            lines.append([run.storage.read_bytes(commit.history) for commit in commit_log.read_log(run.storage)])
        assert lines[0] == lines[1] == lines[2]

    def test_a_share_of_the_steps_is_read_again(self, run: LedgerRun) -> None:
        run.train(10)
        assert audit(run.storage, share=0.2).samples_read == 24
        assert chosen_steps(range(1, 101), 0.05)[-1] == 100
        assert len(chosen_steps(range(1, 101), 0.05)) == 5

    def test_the_index_is_not_needed(self, run: LedgerRun) -> None:
        run.train(4)
        for index in Path(run.storage.root).rglob("*.idx"):
            index.unlink()
        assert texts(audit(run.storage)) == []

    def test_shards_of_another_job_are_read_where_they_lie(self, run: LedgerRun, tmp_path: Path) -> None:
        elsewhere, folder = tmp_path / "elsewhere" / "s0", layout.shards(UPSTREAM["Encode"], "s0")
        shutil.move(tmp_path / folder, elsewhere)
        manifest = json.loads((elsewhere / layout.MANIFEST).read_text())
        run.storage.write_json(f"{folder}/{layout.MANIFEST}", {**manifest, "folder": elsewhere.as_uri()})
        run.train(6, world=2)
        found = audit(run.storage)
        assert (texts(found), found.samples_read) == ([], 72)

    def test_a_storage_without_a_commit_is_a_mistake(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no training has committed here"):
            audit(Storage(str(tmp_path)))


Lines = list[dict[str, Any]]


def edit_lines(run: LedgerRun, sequence: int, edit: Callable[[Lines], Lines | None]) -> None:
    """Edit the lines of a commit's history file."""
    path = next(c.history for c in commit_log.read_log(run.storage) if c.sequence == sequence)
    lines = [json.loads(text) for text in run.storage.read_bytes(path).splitlines()]
    lines = edit(lines) or lines
    run.storage.write_bytes(path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def edit_commit(run: LedgerRun, number: int, **fields: Any) -> None:
    path = layout.commit(number)
    run.storage.write_json(path, {**run.storage.read_json(path), **fields})


PARTS = ("log", "history", "order")


def removed(run: LedgerRun, part: str) -> str:
    """Remove a file of the second commit, or the order; gives its path."""
    paths = {
        "log": layout.commit(2),
        "history": commit_log.read_log(run.storage)[1].history,
        "order": layout.ledger_order(FINGERPRINT),
    }
    run.storage.remove(paths[part])
    return paths[part]


def moved(lines: Lines) -> None:
    lines[1]["read"]["samples"] = [72, 84]


def shifted_source(lines: Lines) -> None:
    lines[1]["read"]["taken"]["s0"][1] += 1


def other_digest(lines: Lines) -> None:
    digests = lines[1]["read"]["digests"]
    digests[3], digests[4] = digests[4], digests[3]


def other_weights(lines: Lines) -> None:
    lines[0]["read"]["segment"] = 1


def named_stand_ins(lines: Lines) -> None:
    """So that nobody looks at what was read."""
    for line in lines:
        line["read"] |= {"standIns": list(range(*line["read"]["samples"])), "digests": ["0" * 16] * 8}


# What is done to the lines of the second commit (steps 5 to 8), and what the audit names first.
LINES: list[tuple[Callable[[Lines], Lines | None], str]] = [
    (moved, "step 6, sample 60: it has samples 72 to 83 where 60 to 71 are due"),
    (lambda lines: [*lines[:1], *lines[2:]], "step 7: step 6 is missing before it"),
    (lambda lines: lines[:-1], "step 9: step 8 is missing before it"),
    (lambda lines: [*lines[:2], *lines[1:]], "step 6: it is there again; step 7 is due"),
    (shifted_source, "step 6, sample 60, source s0: it has its samples 42 to 51 where 42 to 50 are due"),
    (
        other_digest,
        "step 6, sample 64, source s0, shard 000002.tar, record 1, slot 3: one of samples 64 to 65 was read",
    ),
    (named_stand_ins, "step 5, sample 48, source s0: it is named a stand-in, but there is no quarantine/"),
    (other_weights, "step 5, sample 48: it has weights number 1 where 0 hold"),
]


class TestTamperedWith:
    @pytest.mark.parametrize(("edit", "said"), LINES, ids=range(len(LINES)))
    def test_a_line_is_named_even_when_all_checksums_were_made_to_fit(
        self, run: LedgerRun, edit: Callable[[Lines], Lines | None], said: str
    ) -> None:
        run.train(12)
        edit_lines(run, 2, edit)
        run.seal_again()
        first, *_ = texts(audit(run.storage))
        assert first.startswith(said)

    def test_without_that_the_checksum_tells(self, run: LedgerRun) -> None:
        run.train(12)
        edit_lines(run, 2, lambda lines: lines[0].update(loss=0.5))
        assert [text for text in texts(audit(run.storage)) if "was edited" in text]

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"step": 9}, "says 96 samples"),
            ({"samples": 97}, "says 97 samples"),
            ({"segments": [{"start": 0, "weights": [3.0, 7.0]}]}, "commit 2 was edited"),
            ({"generation": 9}, "commit 2 was edited"),
            ({"time": "2026-01-01T00:00:00Z"}, "commit 2 was edited"),
            ({"sequence": 5}, "says that it is commit 5"),
        ],
    )
    def test_a_commit_is_named(self, run: LedgerRun, fields: dict[str, Any], said: str) -> None:
        run.train(12)
        edit_commit(run, 2, **fields)
        assert [text for text in texts(audit(run.storage)) if said in text]

    def test_other_weights_show_in_the_order_when_all_checksums_were_made_to_fit(self, run: LedgerRun) -> None:
        run.train(12)
        for sequence in (1, 2, 3):
            edit_commit(run, sequence, segments=[{"start": 0, "weights": [3.0, 7.0]}])
        run.seal_again()
        assert texts(audit(run.storage))[0].startswith(
            "step 1, sample 0, source s0: it has its samples 0 to 8 where 0 to 2 are due"
        )

    def test_the_last_commit_is_held_against_its_history(self, run: LedgerRun) -> None:
        run.train(12)
        edit_commit(run, 3, step=11, samples=132, tokens=132 * 32)
        assert texts(audit(run.storage))

    @pytest.mark.parametrize("field", ["seed", "globalBatchSize", "sources"])
    def test_the_order_is_held_against_what_was_read(self, run: LedgerRun, field: str) -> None:
        run.train(6)
        path = layout.ledger_order(FINGERPRINT)
        order = run.storage.read_json(path)
        order[field] = order[field][::-1] if field == "sources" else order[field] + 1
        run.storage.write_json(path, order)
        assert texts(audit(run.storage))

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (["step"], "4"), (["step"], None), (["step"], [1]), (["step"], 4.0), (["step"], 1 << 70), (["step"], 0),
            (["skipped"], "yes"), (["skipped"], None), (["skipped"], 5), (["read"], []), (["read", "digests"], ["zz"] * 8),
            (["read", "digests"], ["-1"] * 8), (["read", "digests"], ["0" * 40] * 8), (["read", "standIns"], [1 << 63, -1]),
            (["read", "samples"], [-1, 1]), (["read", "taken"], {"s0": [-3, 9]}), (["read", "segment"], 1 << 80),
        ],
        ids=str,
    )  # fmt: skip
    def test_a_line_that_is_none_is_named_with_its_field(self, run: LedgerRun, path: list[str], value: object) -> None:
        run.train(12)

        def edit(lines: Lines) -> None:
            at = lines[1]
            for name in path[:-1]:
                at = at[name]
            at[path[-1]] = value

        edit_lines(run, 2, edit)
        run.seal_again()
        assert [text for text in texts(audit(run.storage)) if f"line 2 cannot be read: {'.'.join(path)}" in text]

    def test_a_line_of_brackets_is_named(self, run: LedgerRun) -> None:
        run.train(12)
        path = commit_log.read_log(run.storage)[1].history
        run.storage.write_bytes(path, b"[" * 200_000 + b"\n")
        run.seal_again()
        assert [text for text in texts(audit(run.storage)) if "line 1 cannot be read" in text]

    @pytest.mark.parametrize("value", [0, -1, 10**12, 10**30])
    @pytest.mark.parametrize("field", ["globalBatchSize", "samples", "samplesPerRecord"])
    def test_an_order_that_cannot_be_is_named(self, run: LedgerRun, field: str, value: int) -> None:
        run.train(6)
        path = layout.ledger_order(FINGERPRINT)
        order = run.storage.read_json(path)
        (order if field in order else order["sources"][0])[field] = value
        run.storage.write_json(path, order)
        assert [text for text in texts(audit(run.storage)) if "order.json" in text or "describes other samples" in text]

    def test_a_log_of_which_nothing_can_be_read_is_told_as_such(self, run: LedgerRun) -> None:
        run.train(4)
        edit_commit(run, 1, history=".")
        with pytest.raises(
            PretrainError, match=r"no commit can be read; the record .*000000000001\.json cannot be read"
        ):
            audit(run.storage)

    @pytest.mark.parametrize("what", PARTS)
    def test_a_folder_in_place_of_a_file_is_named(self, run: LedgerRun, what: str) -> None:
        run.train(12)
        Path(run.storage.path(removed(run, what))).mkdir()
        assert texts(audit(run.storage))

    @pytest.mark.parametrize("what", PARTS)
    def test_a_file_that_is_gone_is_named(self, run: LedgerRun, what: str) -> None:
        run.train(12)
        removed(run, what)
        assert [text for text in texts(audit(run.storage)) if "missing" in text or "not there" in text]

    def test_an_order_whose_shards_are_gone_is_held_against_the_lines_all_the_same(self, run: LedgerRun) -> None:
        run.train(12)
        edit_lines(run, 2, shifted_source)
        run.seal_again()
        run.storage.remove(f"{layout.shards(UPSTREAM['Encode'], 's1')}/{layout.MANIFEST}")
        found = texts(audit(run.storage))
        assert "source s1" in found[0]
        assert found[1].startswith("step 6, sample 60, source s0: it has its samples 42 to 51 where")


class SkippingReader(SampleReader):
    """Passes over one record of the first source, as a reader with a defect would."""

    def read(self, source: np.ndarray, index: np.ndarray) -> Samples:
        passed = (source == 0) & (index >= 20) & (index < 35)
        return super().read(source, np.where(passed, index + 5, index))


class TestContents:
    def test_a_reader_that_skipped_a_record_is_told_with_the_first_sample_concerned(self, tmp_path: Path) -> None:
        run = LedgerRun(Storage(str(tmp_path)), batch=8, reader=SkippingReader)
        run.train(2)
        first, *_ = audit(run.storage).differences
        honest = LedgerRun(Storage(str(tmp_path / "honest")), batch=8)
        honest.train(2)
        assert (first.place.source, first.place.shard, first.place.record) == ("s0", "000001.tar", 1)
        assert first.place.slot is not None
        assert first.place.g is not None
        assert "the sample was read with another content" in first.what

    def test_a_shard_that_was_overwritten_is_named(self, run: LedgerRun) -> None:
        run.train(12)
        shard = Path(run.storage.path(f"{layout.shards(UPSTREAM['Encode'], 's0')}/000001.tar"))
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
        assert texts(audit(run.storage)) == [
            "source s0, shard 000001.tar: its SHA-256 is not that of its manifest",
        ]

    def test_tokens_that_were_changed_with_their_checksums_show_in_the_digests(self, run: LedgerRun) -> None:
        run.train(12)
        folder = layout.shards(UPSTREAM["Encode"], "s0")
        shard = Path(run.storage.path(f"{folder}/000001.tar"))
        content = bytearray(shard.read_bytes())
        at = content.index(b"NUMPY", content.index(b"tokens.npy")) + 200
        content[at] ^= 1
        shard.write_bytes(content)
        found = texts(audit(run.storage))
        assert "its SHA-256 is not that of its manifest" in found[0]
        assert "source s0" in found[1]

    @pytest.mark.parametrize("kept", [0, 1000, 3000])
    def test_a_shard_that_was_cut_short_is_named(self, run: LedgerRun, kept: int) -> None:
        run.train(4)
        shard = Path(run.storage.path(f"{layout.shards(UPSTREAM['Encode'], 's0')}/000000.tar"))
        shard.write_bytes(shard.read_bytes()[:kept])
        found = audit(run.storage)
        assert [(d.place.source, d.place.shard) for d in found.differences] == [("s0", "000000.tar")]
