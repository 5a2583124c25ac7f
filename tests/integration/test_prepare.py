"""Prepare: what is removed and masked, that order decides and parallelism does not, and that kills change nothing."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.corpora import texts
from support.data_stages import DataStages, a_source, recorded_writes
from support.eventually import eventually

from pretrain_api.stages import Flow, Stage
from pretrain_trainer.documents import parts, units
from pretrain_trainer.filters import firsts

WORDS = [
    "the",
    "of",
    "to",
    "and",
    "that",
    "have",
    "with",
    "be",
    "river",
    "mountain",
    "house",
    "garden",
    "window",
    "letter",
    "summer",
    "winter",
    "walked",
    "found",
]


def prose(seed: int, sentences: int = 12) -> str:
    rng = random.Random(seed)
    made = (" ".join(rng.choices(WORDS, k=12)).capitalize() + f" {rng.randrange(10**6)}." for _ in range(sentences))
    return "\n".join(made)


def prepared(
    folder: Path, sources: dict[str, list[str]], prepare: dict[str, Any], parallelism: int = 1, inputs: str = "."
) -> DataStages:
    """Collected documents, ready for Prepare. `inputs` is where the raw files lie, relative to the folder."""
    raw = (folder / inputs).resolve()
    raw.mkdir(parents=True, exist_ok=True)
    for name, documents in sources.items():
        if not (raw / f"{name}.jsonl").exists():
            (raw / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    listed = [a_source(raw / f"{name}.jsonl", name) for name in sources]
    stages = DataStages(folder, {"sources": listed, "prepare": prepare}, parallelism)
    stages.succeed(Stage.COLLECT)
    return stages


def prepare(
    folder: Path, sources: dict[str, list[str]], prepare: dict[str, Any], parallelism: int = 1, inputs: str = "."
) -> DataStages:
    stages = prepared(folder, sources, prepare, parallelism, inputs)
    stages.succeed(Stage.PREPARE)
    return stages


def ids(stages: DataStages, source: str) -> list[str]:
    return [document.id for document in stages.documents(Stage.PREPARE, source)]


def checksums(stages: DataStages) -> dict[str, str]:
    fingerprint = stages.upstream[Stage.PREPARE]
    root = Path(stages.storage.root)
    return {
        name.split(fingerprint)[1]: hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in stages.left()
        if name.startswith(f"documents/{fingerprint}") and not name.endswith(".tmp")
    }


def test_without_filters_everything_passes_unchanged(tmp_path: Path) -> None:
    stages = prepare(tmp_path, {"a": ["one", "two"]}, {})
    assert stages.documents(Stage.PREPARE, "a") == stages.documents(Stage.COLLECT, "a")


class TestDeduplication:
    def test_exact_duplicates_go_within_and_across_sources_in_their_order(self, tmp_path: Path) -> None:
        sources = {"a": ["one two", "three", "one  two\n"], "b": ["three", "four"], "c": ["five", "four"]}
        stages = prepare(tmp_path, sources, {"deduplicate": {"exact": {}}})
        assert [ids(stages, name) for name in "abc"] == [["a/0/0", "a/0/1"], ["b/0/1"], ["c/0/0"]]
        removed = stages.record(Stage.PREPARE).details["sources"]["b"]["removed"]
        assert removed == {"deduplicate.exact": {"documents": 1, "bytes": 5}}

    def test_near_duplicates_go_and_others_stay(self, tmp_path: Path) -> None:
        first, other = prose(1, 40), prose(2, 40)
        changed = first.replace("River", "Lake", 1)
        stages = prepare(tmp_path, {"a": [first, other], "b": [changed, prose(3)]}, {"deduplicate": {"minhash": {}}})
        assert (ids(stages, "a"), ids(stages, "b")) == (["a/0/0", "a/0/1"], ["b/0/1"])
        example = stages.record(Stage.PREPARE).details["sources"]["b"]["examples"]
        assert example == [{"rule": "deduplicate.minhash", "id": "b/0/0", "text": changed[:200]}]

    def test_what_quality_removed_is_no_first_one(self, tmp_path: Path) -> None:
        """A document that a filter removes must not take its duplicates with it unless they fail too."""
        good = prose(1)
        sources = {"a": ["short"], "b": ["short", good], "c": [good, prose(2)]}
        rules = {"gopherQuality": {"minWords": 3, "minMeanWordLength": 1}}
        settings = {"quality": {"preset": "custom", **rules}, "deduplicate": {"exact": {}}}
        stages = prepared(tmp_path, {"a": [prose(9), *sources["a"]], "b": sources["b"], "c": sources["c"]}, settings)
        details = stages.succeed(Stage.PREPARE).details["sources"]
        assert details["b"]["removed"] == {"gopherQuality.minWords": {"documents": 1, "bytes": 5}}
        assert ids(stages, "c") == ["c/0/1"]

    def test_a_second_pass_over_the_result_removes_nothing(self, tmp_path: Path) -> None:
        documents = list(islice(texts(5), 60))
        documents += [text.replace("self", "this", 2) for text in documents[:20]] + documents[10:15]
        settings = {"deduplicate": {"exact": {}, "minhash": {}}}
        once = prepare(tmp_path / "1", {"a": documents}, settings)
        kept = once.texts(Stage.PREPARE, "a")
        assert len(kept) < len(documents)
        assert prepare(tmp_path / "2", {"a": kept}, settings).texts(Stage.PREPARE, "a") == kept


class TestFilters:
    def test_counts_add_up_by_source_and_rule(self, tmp_path: Path) -> None:
        french = "Le chat dort sur le canapé pendant que la pluie tombe doucement sur les toits de la ville. " * 8
        documents = [prose(1), "too short but the words are of English", french, prose(1), prose(2) + " a@b.com"]
        settings = {
            "language": {},
            "quality": {"preset": "custom", "gopherQuality": {}},
            "deduplicate": {"exact": {}},
            "pii": {"mask": ["email"]},
        }
        stages = prepare(tmp_path, {"a": documents}, settings)
        record = stages.record(Stage.PREPARE)
        details = record.details["sources"]["a"]
        assert {rule: counts["documents"] for rule, counts in details["removed"].items()} == {
            "language": 1,
            "gopherQuality.minWords": 1,
            "deduplicate.exact": 1,
        }
        assert details["masked"] == {"email": 1}
        assert details["removedLanguages"] == {"fr": 1}
        assert stages.texts(Stage.PREPARE, "a") == [prose(1), prose(2) + " <EMAIL>"]
        size_in = sum(len(text.encode()) for text in documents)
        size_out = len(prose(1)) + len(prose(2)) + 8
        assert record.flow == Flow(documents_in=5, bytes_in=size_in, documents_out=2, bytes_out=size_out)
        assert "2 of 5 documents kept, 3 removed (most by language: 1), 1 item of personal" in record.message

    def test_c4_drops_lines_before_duplicates_are_looked_for(self, tmp_path: Path) -> None:
        documents = [prose(1), prose(1) + "\nA line without an end", prose(2)]
        stages = prepare(tmp_path, {"a": documents}, {"quality": {"preset": "c4"}, "deduplicate": {"exact": {}}})
        assert stages.texts(Stage.PREPARE, "a") == [prose(1), prose(2)]

    def test_documents_that_overlap_with_evaluation_texts_go_and_masking_does_not_hide_them(
        self, tmp_path: Path
    ) -> None:
        question = "write to jane@example.org if you know which planet has the most moons of all in our sky"
        (tmp_path / "test.jsonl").write_text(json.dumps({"question": question}) + "\n")
        settings = {
            "pii": {},
            "decontaminate": {"against": [str(tmp_path / "te*.jsonl")], "fields": {"text": "question"}},
        }
        (tmp_path / "in").mkdir()
        stages = prepare(tmp_path / "in", {"a": [f"Now {question}!", prose(1)]}, settings)
        assert ids(stages, "a") == ["a/0/1"]
        first = stages.upstream[Stage.PREPARE]
        (tmp_path / "test.jsonl").write_text(json.dumps({"question": prose(5)}) + "\n")
        stages.succeed(Stage.PREPARE)
        assert stages.upstream[Stage.PREPARE] != first, "other evaluation texts are another stage"
        assert ids(stages, "a") == ["a/0/0", "a/0/1"]


class TestManyParts:
    @pytest.fixture
    def corpus(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
        monkeypatch.setattr(units, "UNIT_BYTES", 100_000)
        monkeypatch.setattr(parts, "PART_BYTES", 40_000)
        monkeypatch.setattr(firsts, "PARTITION_BYTES", 1 << 12)
        monkeypatch.setattr(firsts, "_BUFFERS_BYTES", 1 << 12)
        documents = list(islice(texts(3), 120))
        changed = [text.replace("self", "this", 1) for text in documents[::4]]
        return {"a": documents[:60] + changed[:5], "b": documents[60:] + documents[:9] + changed[5:]}

    SETTINGS = {"deduplicate": {"exact": {}, "minhash": {}}, "pii": {}}  # noqa: RUF012 - never written to

    def test_parallelism_and_partitions_change_no_byte(
        self, tmp_path: Path, corpus: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = prepare(tmp_path / "1", corpus, self.SETTINGS, inputs="../in")
        monkeypatch.setattr(firsts, "PARTITION_BYTES", 1 << 25)
        # Collect in this process: the pool's processes would cut parts of the usual size.
        collected = prepared(tmp_path / "2", corpus, self.SETTINGS, inputs="../in")
        data = json.loads(collected.job.read_text())["spec"]["data"]
        two = DataStages(tmp_path / "2", data, parallelism=2)
        two.upstream = dict(collected.upstream)
        two.succeed(Stage.PREPARE)
        assert len(checksums(one)) > 10
        assert checksums(one) == checksums(two)

    def test_a_stage_that_broke_off_goes_on_where_it_was(
        self, tmp_path: Path, corpus: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = prepare(tmp_path / "whole", corpus, self.SETTINGS, inputs="../in")
        for writes in (2, 9, 15):
            broken = prepared(tmp_path / f"broken-{writes}", corpus, self.SETTINGS, inputs="../in")
            with monkeypatch.context() as patch:
                before = recorded_writes(patch, stop_after=writes)
                assert broken.run(Stage.PREPARE)[0] == 1
            with monkeypatch.context() as patch:
                after = recorded_writes(patch)
                broken.succeed(Stage.PREPARE)
            finished = {n for n in before if n.endswith(".decisions") or parts.counts_name(n) in set(before) - {n}}
            assert not finished.intersection(after), "finished work was done again"
            assert checksums(broken) == checksums(whole)


def test_a_stage_killed_twice_ends_with_the_same_bytes(tmp_path: Path) -> None:
    sources = {name: list(islice(texts(seed), 150)) for seed, name in enumerate("abcd")}
    settings = {"quality": {"preset": "custom", "gopherRepetition": {}}, "deduplicate": {"exact": {}, "minhash": {}}}
    whole = prepare(tmp_path / "whole", sources, settings, inputs="../in")
    killed = prepared(tmp_path / "killed", sources, settings, parallelism=2, inputs="../in")
    for sign in (".decisions", ".parquet"):
        collected = set(killed.left())
        process = subprocess.Popen([sys.executable, "-m", "pretrain_trainer", *killed.arguments(Stage.PREPARE)])
        eventually(lambda seen=collected, sign=sign: any(n.endswith(sign) for n in set(killed.left()) - seen))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not [name for name in killed.left() if name.startswith("stages/prepare")]
    killed.succeed(Stage.PREPARE)
    assert checksums(killed) == checksums(whole)
