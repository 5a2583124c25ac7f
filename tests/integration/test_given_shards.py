"""Shards that a job is given ready train like its own: another job's in place, arrays of tokens, captions in tars."""

import json
from pathlib import Path

import numpy as np
import pytest
from support import given_shards
from support.eventually import eventually
from support.finished_runs import FinishedRun
from support.given_shards import given, index, manifest_uri, tokens_of, write_arrays
from support.tars import tar
from support.token_runs import commits, losses

from pretrain_api import layout
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage

BEFORE_TRAIN = (Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    return given_shards.encoded(tmp_path_factory.mktemp("other") / "other")


@pytest.fixture(scope="module")
def tokens(other: FinishedRun) -> np.ndarray:
    return tokens_of(other.storage, layout.shards(other.upstream[Stage.ENCODE], "library")).astype(np.uint16)


@pytest.fixture(scope="module")
def sources(other: FinishedRun, tokens: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """One of each kind."""
    folder = tmp_path_factory.mktemp("foreign")
    index(write_arrays(folder / "rows", np.array_split(tokens, 11), member="tokens.npy"))
    index(write_arrays(folder / "flat", [a.reshape(-1)[: -3 - i] for i, a in enumerate(np.array_split(tokens, 9))]))
    captions = {f"a/{i:04d}.{end}": text for i in range(200) for end, text in
                (("jpg", b"\xff\xd8"), ("json", json.dumps({"caption": f"a photo of {i} cats on a mat " * 3}).encode()))}  # fmt: skip
    for part in range(2):
        some = dict(list(captions.items())[part * 200 : part * 200 + 200])
        (folder / f"{part:04d}.tar").write_bytes(tar(some))
    return {
        "ours": {"name": "ours", "shards": manifest_uri(other, "library"), "weight": 2},
        "rows": {"name": "rows", "shards": str(folder / "rows" / "manifest.json")},
        "flat": {"name": "flat", "shards": str(folder / "flat" / "manifest.json")},
        "captions": {
            "name": "captions",
            "documents": f"{folder}/{{0000..0001}}.tar",
            "fields": {"text": "caption"},
            "license": "",
        },
    }


@pytest.fixture(scope="module")
def run(other: FinishedRun, sources: dict, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run of all of them, up to Encode."""
    run = given(tmp_path_factory.mktemp("given") / "run", other, list(sources.values()))
    run.succeed(*BEFORE_TRAIN)
    return run


class TestEncode:
    def folder(self, run: FinishedRun, source: str) -> str:
        return layout.shards(run.upstream[Stage.ENCODE], source)

    def test_leaves_another_jobs_shards_where_they_are(self, run: FinishedRun, tokens: np.ndarray) -> None:
        assert run.storage.names(self.folder(run, "ours")) == [layout.MANIFEST]
        assert np.array_equal(tokens_of(run.storage, self.folder(run, "ours")), tokens)

    def test_keeps_rows_of_sequences_as_they_are(self, run: FinishedRun, tokens: np.ndarray) -> None:
        train = tokens_of(run.storage, self.folder(run, "rows"))
        held_out = tokens_of(run.storage, self.folder(run, "rows"), "validation")
        assert len(held_out) > 0
        found = sorted(map(tuple, [*train.tolist(), *held_out.tolist()]))
        assert found == sorted(map(tuple, tokens.tolist()))

    def test_cuts_flat_arrays_into_sequences(self, run: FinishedRun, tokens: np.ndarray) -> None:
        manifest = json.loads(run.storage.read_bytes(f"{self.folder(run, 'flat')}/{layout.MANIFEST}"))
        dropped = sum(3 + i for i in range(9))
        assert manifest["train"]["tokens"] + manifest["validation"]["tokens"] == tokens.size - dropped

    def test_takes_the_text_of_tars_through_all_stages(self, run: FinishedRun) -> None:
        texts = run.texts(Stage.PREPARE, "captions")
        assert len(texts) == 200
        assert texts[7] == "a photo of 7 cats on a mat " * 3

    def test_holds_decoded_text_out(self, run: FinishedRun) -> None:
        from pretrain_trainer.evaluation.texts import validation_texts

        text = "".join(validation_texts(run.storage, self.folder(run, "rows")))
        assert "def " in text or "return" in text

    def test_makes_the_same_bytes_when_pods_share_it(self, run: FinishedRun, tmp_path: Path) -> None:
        shared = run.copy(tmp_path / "shared")
        shared.storage.remove("shards")
        shared.storage.remove("stages/encode")
        shared.succeed_in_phases(Stage.ENCODE, 3)
        for source in ("ours", "rows", "flat", "captions"):
            for name in run.storage.names(self.folder(run, source)):
                path = Path(run.storage.path(f"{self.folder(run, source)}/{name}"))
                if path.is_file():
                    other = Path(shared.storage.path(f"{self.folder(shared, source)}/{name}"))
                    assert other.read_bytes() == path.read_bytes(), name

    @pytest.mark.timeout(600)
    def test_training_falls_and_a_kill_changes_no_bit(self, run: FinishedRun, tmp_path: Path) -> None:
        settings = {
            "checkpoint": {"everySeconds": 1},
            "training": {
                "sequenceLength": given_shards.LENGTH, "globalBatchSize": 8, "microBatchSize": 4, "steps": 120,
                "precision": "fp32", "optimizer": {"adamw": {"learningRate": 1e-2}}, "schedule": {"warmupSteps": 5},
            },
        }  # fmt: skip
        quiet, rough = (run.copy(tmp_path / name, **settings) for name in ("quiet", "rough"))
        assert quiet.start(Stage.TRAIN).wait(timeout=240) == 0
        training = rough.start(Stage.TRAIN)
        eventually(lambda: commits(Path(rough.storage.root)), within_seconds=240)
        training.kill()
        training.wait()
        assert not (Path(rough.storage.root) / "stages" / "train").exists()
        assert rough.start(Stage.TRAIN).wait(timeout=240) == 0

        first, second = (self.trained(each.storage) for each in (quiet, rough))
        assert first["parametersSha256"] == second["parametersSha256"]
        found = losses(Path(quiet.storage.root))
        assert losses(Path(rough.storage.root)) == found
        assert np.mean([found[step] for step in range(111, 121)]) < found[1] - 1

    def trained(self, storage: Storage) -> dict:
        (path,) = (Path(storage.root) / "stages" / "train").glob("*.json")
        return json.loads(path.read_text())["details"]


@pytest.mark.timeout(600)
def test_a_job_of_shards_alone_goes_through_every_stage(other: FinishedRun, sources: dict, tmp_path: Path) -> None:
    training = {"sequenceLength": given_shards.LENGTH, "globalBatchSize": 4, "steps": 5, "precision": "fp32"}
    run = given(tmp_path / "run", other, [sources["ours"], sources["flat"]], training=training)
    run.succeed(Stage.TOKENIZER, Stage.ENCODE)
    assert run.start(Stage.TRAIN).wait(timeout=240) == 0
    run.upstream[Stage.TRAIN] = run.outcome(Stage.TRAIN).fingerprint
    record = run.succeed(Stage.EVALUATE)
    assert set(record.details["bySource"]) == {"ours", "flat"}
    for figures in record.details["bySource"].values():
        assert 0 < figures["baselines"]["byte5gram"] < 8
    run.succeed(Stage.EXPORT, Stage.REPORT)
    report = run.storage.read_json(layout.REPORT_JSON)
    assert [stage["name"] for stage in report["stages"]] == [stage.value for stage in Stage][2:]
    assert "flat" in run.storage.read_bytes(layout.REPORT_HTML).decode()


class TestRefused:
    @pytest.mark.parametrize(
        ("case", "message"),
        [
            ("length", "spec.data.sources[0].shards: the sequences of {uri} are of 32 tokens; spec.training.sequenceLength is "
                       "16. Write sequenceLength: 32, or shards of the other length. [sequence-length-mismatch]"),
            ("rows", "spec.data.sources[0].shards: the sequences of {uri} are of 8 tokens; spec.training.sequenceLength is 32. "
                     "Write sequenceLength: 8, or shards of the other length. [sequence-length-mismatch]"),
            ("vocabulary", "spec.data.sources[0].shards: {uri} has the token 60000, but the vocabulary ends at 383. Write the "
                           "tokenizer that the tokens were made with in spec.tokenizer.uri. [token-outside-vocabulary]"),
            ("dtype", "spec.data.sources[0].shards: the arrays npy of {uri} are int64, not uint16 or uint32. Save tokens with "
                      "array.astype(numpy.uint16), or uint32 for more than 65,536 entries. [token-shards]"),
            ("images", "spec.data.sources[0].shards: the records of {uri} hold no arrays of tokens, but jpg, txt. Write text and "
                       "captions as documents: with the address of the tars; images train nothing yet. [token-shards]"),
            ("missing", "spec.data.sources[0].shards: 1 of the 3 records of {uri} have no npy. Leave these records out, or give "
                        "them their tokens. [token-shards]"),
            ("tokenizer", "spec.data.sources[0].shards: the tokens of {uri} were made by another tokenizer: its tokenizer.json "
                          "has SHA-256 abababababab..., that of spec.tokenizer.uri "),
            ("nothing", "spec.data.sources[0].shards: {uri} does not exist. Write the path or URL of existing files. "
                        "[file-not-found]"),
            ("index", "spec.data.sources[0].shards: file://{folder}/000000.idx does not exist. Write the path or URL of "
                      "existing files. [file-not-found]"),
        ],
    )  # fmt: skip
    def test_before_anything_is_made(self, other: FinishedRun, tmp_path: Path, case: str, message: str) -> None:
        uri = self.made(case, other, tmp_path / "in")
        training = {"sequenceLength": 16 if case == "length" else given_shards.LENGTH, "steps": 5}
        run = given(tmp_path / "run", other, [{"name": "a", "shards": uri}], training=training)
        run.succeed(Stage.TOKENIZER)
        code, outcome = run.run(Stage.ENCODE)
        assert (code, outcome.outcome) == (2, "userError")
        assert outcome.message.startswith(message.format(uri=uri, folder=Path(uri).parent)), outcome.message
        assert not [path for path in run.left() if path.startswith("shards/")]

    def made(self, case: str, other: FinishedRun, folder: Path) -> str:
        flat = [np.arange(40, dtype=np.uint16) for _ in range(3)]
        if case == "length":
            return manifest_uri(other, "library")
        if case == "nothing":
            return str(folder / "manifest.json")
        arrays = {
            "rows": [np.zeros((3, 9), np.uint16)],
            "vocabulary": [np.array([60000], np.uint16)],
            "dtype": [np.arange(9)],
        }.get(case, flat)
        write_arrays(folder, arrays)
        if case == "images":
            (folder / "000000.tar").write_bytes(tar({"1.jpg": b"a", "1.txt": b"b"}))
        if case == "missing":
            (folder / "000001.tar").write_bytes((folder / "000000.tar").read_bytes())
            (folder / "000000.tar").write_bytes(tar({"0.txt": b"a"}))
            write_arrays(folder / "x", flat[:2])
            (folder / "x" / "000000.tar").replace(folder / "000001.tar")
        index(folder, "ab" * 32 if case == "tokenizer" else "")
        if case == "index":
            (folder / "000000.idx").unlink()
        return str(folder / "manifest.json")
