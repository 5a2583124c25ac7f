"""A stage that is shared by pods leaves the same bytes as one program alone, whatever their number and their fate."""

import hashlib
import json
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.corpora import texts
from support.data_stages import DataStages, a_source
from support.eventually import eventually
from support.finished_runs import FinishedRun

from pretrain_api import layout
from pretrain_api.stages import PHASES, Stage
from pretrain_trainer.data import documents, shards
from pretrain_trainer.documents import parts, units
from pretrain_trainer.stages import encode

SETTINGS = {
    "quality": {"preset": "custom", "gopherRepetition": {}},
    "deduplicate": {"exact": {}, "minhash": {}},
    "pii": {},
}
BEFORE_TRAIN = (Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE)


@pytest.fixture(autouse=True)
def many_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a little text is work for several pods."""
    monkeypatch.setattr(units, "UNIT_BYTES", 60_000)
    monkeypatch.setattr(parts, "PART_BYTES", 40_000)
    monkeypatch.setattr(documents, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(shards, "RECORD_BYTES", 10_000)
    monkeypatch.setattr(encode, "SHARD_BYTES", 30_000)


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, Any]:
    """The `data` of a job over two sources with repeats, and evaluation texts to keep away from."""
    raw = tmp_path / "raw"
    raw.mkdir()
    some = list(islice(texts(3), 110))
    changed = [text.replace("self", "this", 1) for text in some[::4]]
    for name, own in (("a", [*some[:60], *changed[:5]]), ("b", [*some[60:], *some[:9], *changed[5:]])):
        for file in range(0, len(own), 20):
            lines = "".join(json.dumps({"text": text}) + "\n" for text in own[file : file + 20])
            (raw / f"{name}-{file:03d}.jsonl").write_text(lines)
    (raw / "evaluation.txt").write_text(some[7])
    against = {"decontaminate": {"against": [str(raw / "evaluation.txt")]}}
    sources = [a_source(raw / f"{name}-*.jsonl", name) for name in "ab"]
    return {"sources": sources, "prepare": {**SETTINGS, **against}, "validation": {"fraction": 0.1}}


def a_run(folder: Path, data: dict[str, Any]) -> DataStages:
    stages = DataStages(folder, data)
    job = json.loads(stages.job.read_text())
    job["spec"] |= {"tokenizer": {"train": {"vocabSize": 384}}}
    job["spec"]["training"]["sequenceLength"] = 64
    stages.job.write_text(json.dumps(job))
    return stages


def content(stages: DataStages) -> dict[str, str]:
    """Checksums of all that was left but for the times in completion records."""
    root = Path(stages.storage.root)
    return {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in stages.left()
        if not name.startswith("stages/")
    }


def told(stages: DataStages, stage: Stage) -> Any:
    """What the completion record says beside times."""
    return stages.record(stage).model_dump(exclude={"started", "completed", "seconds"})


def a_program(stages: DataStages, stage: Stage, phase: str, index: int, shared: int) -> "subprocess.Popen[bytes]":
    share = ["--phase", phase, "--index", str(index), "--parts", str(shared), "--scratch", str(stages.folder)]
    return subprocess.Popen([sys.executable, "-m", "pretrain_trainer", *stages.arguments(stage), *share])


def test_any_number_of_pods_leaves_the_same_bytes_and_records(tmp_path: Path, corpus: dict[str, Any]) -> None:
    alone = a_run(tmp_path / "alone", corpus)
    alone.succeed(*BEFORE_TRAIN)
    expected = content(alone)
    assert sum(name.endswith(".tar") for name in expected) > 6
    assert sum(name.endswith(".parquet") for name in expected) > 12
    for number in (1, 2, 3, 50):
        shared = a_run(tmp_path / f"by-{number}", corpus)
        for stage in BEFORE_TRAIN:
            shared.succeed_in_phases(stage, number)
        assert content(shared) == expected
        assert [told(shared, stage) for stage in BEFORE_TRAIN] == [told(alone, stage) for stage in BEFORE_TRAIN]


def test_the_pods_do_the_work_and_the_last_phase_only_gathers_it(tmp_path: Path, corpus: dict[str, Any]) -> None:
    stages = a_run(tmp_path, corpus)
    for stage, sign in ((Stage.COLLECT, ".parquet"), (Stage.PREPARE, ".parquet"), (Stage.ENCODE, ".tar")):
        if stage is Stage.ENCODE:
            stages.succeed(Stage.TOKENIZER)
        before = set(stages.left())
        for phase in PHASES[stage][:-1]:
            for index in range(2 if phase.indexed else 1):
                outcome = stages.run_phase(stage, phase.name, index, 2 if phase.indexed else 1)
                assert outcome.fingerprint == ""
        root = Path(stages.storage.root)
        made = {name: (root / name).stat().st_ino for name in set(stages.left()) - before if name.endswith(sign)}
        stages.succeed(stage)
        whole = {name for name in set(stages.left()) - before if name.endswith(sign)}
        kept = {name for name in whole if (root / name).stat().st_ino == made.get(name)}
        assert whole - kept <= {name for name in whole if name.endswith("validation/documents.parquet")}


def test_a_pod_of_a_complete_stage_says_so_and_does_nothing(tmp_path: Path, corpus: dict[str, Any]) -> None:
    stages = a_run(tmp_path, corpus)
    stages.succeed(Stage.COLLECT)
    identity, before = stages.upstream[Stage.COLLECT], content(stages)
    outcome = stages.run_phase(Stage.COLLECT, "collect", 1, 2)
    assert (outcome.skipped, outcome.fingerprint) == (True, identity)
    assert content(stages) == before


def test_phases_that_were_left_out_are_made_up_for(tmp_path: Path, corpus: dict[str, Any]) -> None:
    alone, shared = a_run(tmp_path / "alone", corpus), a_run(tmp_path / "shared", corpus)
    alone.succeed(*BEFORE_TRAIN)
    shared.run_phase(Stage.COLLECT, "collect", 0, 2)
    shared.succeed(Stage.COLLECT)
    shared.run_phase(Stage.PREPARE, "filter", 1, 3)
    shared.succeed(Stage.PREPARE, Stage.TOKENIZER)
    shared.run_phase(Stage.ENCODE, "encode", 0, 2)
    shared.succeed(Stage.ENCODE)
    assert content(shared) == content(alone)


@pytest.mark.usefixtures("many_small_parts")
def test_two_pods_of_one_index_at_once_and_one_that_is_killed_do_no_harm(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in "abcd":
        lines = "".join(json.dumps({"text": text}) + "\n" for text in islice(texts(ord(name)), 100))
        (raw / f"{name}.jsonl").write_text(lines)
    data = {"sources": [a_source(raw / f"{name}.jsonl", name) for name in "abcd"], "prepare": SETTINGS}
    alone, shared = a_run(tmp_path / "alone", data), a_run(tmp_path / "shared", data)
    for stages in (alone, shared):
        stages.succeed(Stage.COLLECT)
    alone.succeed(Stage.PREPARE)
    for phase in PHASES[Stage.PREPARE]:
        before = set(shared.left())
        killed = a_program(shared, Stage.PREPARE, phase.name, 0, 2 if phase.indexed else 1)
        eventually(lambda seen=before, process=killed: set(shared.left()) - seen or process.poll() is not None)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        numbers = [0, 0, 1, 1] if phase.indexed else [0, 0]
        pods = [a_program(shared, Stage.PREPARE, phase.name, n, 2 if phase.indexed else 1) for n in numbers]
        assert [pod.wait(timeout=120) for pod in pods] == [0] * len(pods)
    shared.succeed(Stage.PREPARE)
    leftovers = {name for name in content(shared) if name.endswith(".tmp")}
    assert {name: sha for name, sha in content(shared).items() if name not in leftovers} == content(alone)


def test_an_evaluation_shared_by_pods_has_the_same_figures(trained_run: FinishedRun, tmp_path: Path) -> None:
    alone, shared = trained_run.copy(tmp_path / "alone"), trained_run.copy(tmp_path / "shared")
    alone.succeed(Stage.EVALUATE)
    shared.succeed_in_phases(Stage.EVALUATE, 3)
    path = f"{layout.EVALUATION}/{alone.upstream[Stage.EVALUATE]}.json"
    assert shared.storage.read_bytes(path) == alone.storage.read_bytes(path)
    assert told(shared, Stage.EVALUATE) == told(alone, Stage.EVALUATE)
    assert shared.storage.names(layout.EVALUATION) == alone.storage.names(layout.EVALUATION)


def test_a_bad_document_ends_its_pod_and_leaves_what_the_others_made(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text(json.dumps({"text": "x" * 70_000}) + "\n")
    (tmp_path / "raw" / "b.jsonl").write_text("{broken\n")
    stages = a_run(tmp_path, {"sources": [a_source(tmp_path / "raw" / "*.jsonl", "a")]})
    stages.run_phase(Stage.COLLECT, "collect", 0, 2)
    made = content(stages)
    code, outcome = stages.run(Stage.COLLECT, "--phase", "collect", "--index", "1", "--parts", "2")
    assert (code, outcome.code) == (2, "broken-json")
    assert made.items() <= content(stages).items()
    assert len(made) == 3
