"""The Encode stage as its own program: the shards it leaves, read back by the stock webdataset library and by our reader,
and the same bytes whatever the number of processes and however often it is killed."""

import hashlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.eventually import eventually
from support.prepared import PREPARED, a_context, a_job, run_stages, write_documents

from pretrain_api.errors import UserError
from pretrain_api.shards import Manifest
from pretrain_api.stages import Stage, fingerprint
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.data.split import is_validation
from pretrain_trainer.stages import tokenizer
from pretrain_trainer.tokenizer import LoadedTokenizer, load_folder

FILES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:90]
TEXTS = [text for path in FILES if (text := path.read_text(encoding="utf-8")[:20_000])] + ["", "é漢🙂 <|endoftext|>"]
LENGTH = 64
SOURCES = [{"name": "code", "documents": "x", "weight": 0.7}, {"name": "small", "documents": "y", "weight": 0.3}]


def prepare(folder: Path, parallelism: int = 1, vocab_size: int = 400, small: int = 3) -> PretrainJob:
    storage = Storage(str(folder))
    write_documents(storage, "code", TEXTS, documents_per_part=3, documents_per_group=2)
    write_documents(storage, "small", TEXTS[:small])
    return a_job(
        folder,
        SOURCES,
        tokenizer={"train": {"vocabSize": vocab_size}},
        training={"sequenceLength": LENGTH, "globalBatchSize": 4, "steps": 10},
        data={"sources": SOURCES, "validation": {"fraction": 0.1}, "prepare": {"parallelism": parallelism}},
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in which Encode has finished in one process."""
    folder = tmp_path_factory.mktemp("encoded")
    run_stages(prepare(folder / "run"), folder)
    return folder / "run"


@pytest.fixture(scope="module")
def loaded(encoded: Path) -> LoadedTokenizer:
    return load_folder(Storage(str(encoded)), "tokenizer/tokenizer")


def manifest(run: Path, source: str) -> Manifest:
    return Manifest.model_validate_json((run / f"shards/encode/{source}/manifest.json").read_text())


def documents_of(stream: np.ndarray, loaded: LoadedTokenizer) -> list[str]:
    """Texts of a stream of tokens that ends with an end of text."""
    ends = np.flatnonzero(stream == loaded.end_of_text)
    assert ends[-1] == len(stream) - 1
    parts = np.split(stream, ends + 1)[:-1]
    return [loaded.tokenizer.decode(part[:-1].tolist(), skip_special_tokens=False) for part in parts]


class TestShards:
    @pytest.mark.filterwarnings("ignore")  # of webdataset and torch at import
    @pytest.mark.parametrize("split", ["train", "validation"])
    def test_are_read_by_the_stock_webdataset_library(self, encoded: Path, loaded: LoadedTokenizer, split: str) -> None:
        import webdataset

        part = getattr(manifest(encoded, "code"), split)
        paths = [str(encoded / "shards/encode/code" / shard.name) for shard in part.shards]
        dataset = webdataset.WebDataset(paths, shardshuffle=False).decode()
        blocks, starts, offset = [], [], 0
        for record in dataset:
            blocks.append(record["tokens.npy"].reshape(-1))
            starts.extend(record["documents.npy"] + offset)
            offset += blocks[-1].size
        stream = np.concatenate(blocks)
        assert (stream[part.tokens :] == loaded.padding).all()
        stream = stream[: part.tokens]
        expected = [text for text in TEXTS if is_validation(text, 0.1) == (split == "validation")]
        assert documents_of(stream, loaded) == expected
        assert starts == [0, *(np.flatnonzero(stream == loaded.end_of_text)[:-1] + 1).tolist()]
        assert part.documents == len(expected)
        assert part.text_bytes == sum(len(text.encode()) for text in expected)

    @pytest.mark.filterwarnings("ignore")
    def test_are_what_webdatasets_own_writer_would_write(self, encoded: Path) -> None:
        import webdataset

        tar = encoded / "shards/encode/code/000000.tar"
        again = io.BytesIO()
        with webdataset.TarWriter(again, mtime=0) as writer:
            for record in webdataset.WebDataset(str(tar), shardshuffle=False):
                writer.write({key: value for key, value in record.items() if key == "__key__" or key[0] != "_"})
        assert again.getvalue() == tar.read_bytes()

    def test_are_described_by_the_manifest(self, encoded: Path) -> None:
        for source in ("code", "small"):
            described = manifest(encoded, source)
            for split in (described.train, described.validation):
                for shard in split.shards:
                    content = (encoded / f"shards/encode/{source}" / shard.name).read_bytes()
                    assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.bytes, shard.sha256)
                assert split.samples == -(-split.tokens // (LENGTH + 1))

    def test_give_our_reader_every_token(self, encoded: Path, loaded: LoadedTokenizer) -> None:
        reader = SampleReader(Storage(str(encoded)), [("shards/encode/code", manifest(encoded, "code"))])
        count = manifest(encoded, "code").train.samples
        samples = reader.read(np.zeros(count, dtype=np.int64), np.arange(count))
        assert documents_of(samples.tokens[samples.valid], loaded) == [t for t in TEXTS if not is_validation(t, 0.1)]

    def test_leave_nothing_else_behind(self, encoded: Path) -> None:
        assert sorted(digests(encoded / "shards/encode/small")) == [
            "000000.idx", "000000.tar", "manifest.json",
            "validation/000000.idx", "validation/000000.tar", "validation/documents.parquet",
        ]  # fmt: skip

    def test_of_a_large_vocabulary_hold_uint32(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        write_documents(storage, "code", TEXTS[:5])
        folder = tmp_path / "given"
        folder.mkdir()
        words = {"[UNK]": 0, "def": 1, "<|endoftext|>": 2, "self": 70_000}
        description = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
        }  # fmt: skip
        (folder / "tokenizer.json").write_text(json.dumps(description))
        job = a_job(tmp_path, SOURCES[:1], tokenizer={"uri": str(folder)})
        run_stages(job, tmp_path)
        assert manifest(tmp_path, "code").dtype == "uint32"
        reader = SampleReader(storage, [("shards/encode/code", manifest(tmp_path, "code"))])
        assert reader.read(np.array([0]), np.array([0])).tokens.max() <= 70_000


class TestValidation:
    def test_documents_are_kept_as_text(self, encoded: Path) -> None:
        table = pq.read_table(encoded / "shards/encode/code/validation/documents.parquet")
        assert table.column_names == ["id", "text", "url", "license"]
        assert table.column("text").to_pylist() == [text for text in TEXTS if is_validation(text, 0.1)]

    def test_of_a_source_too_small_for_the_fraction_is_one_document(self, encoded: Path) -> None:
        assert not any(is_validation(text, 0.1) for text in TEXTS[:3])
        assert manifest(encoded, "small").validation.documents == 1
        assert manifest(encoded, "small").train.documents == 2

    def test_of_a_source_too_small_for_the_fraction_is_said(self, tmp_path: Path) -> None:
        _, result = run_stages(prepare(tmp_path), tmp_path)
        assert "of small one text, since validation.fraction 0.1 holds none of it out" in result.message

    def test_of_no_fraction_is_empty(self, tmp_path: Path) -> None:
        write_documents(Storage(str(tmp_path)), "code", TEXTS[:4])
        data = {"sources": SOURCES[:1], "validation": {"fraction": 0}, "prepare": {"parallelism": 1}}
        run_stages(a_job(tmp_path, SOURCES[:1], data=data), tmp_path)
        assert manifest(tmp_path, "code").validation.samples == 0
        assert not (tmp_path / "shards/encode/code/validation").exists()


class TestTooFewTokens:
    def test_for_one_sequence_names_the_source_and_what_to_change(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        write_documents(storage, "code", TEXTS[:5])
        write_documents(storage, "small", ["tiny"])
        with pytest.raises(UserError, match=r"Source small has \d+ tokens to train on in 1 document") as caught:
            run_stages(a_job(tmp_path, SOURCES), tmp_path)
        assert caught.value.code == "too-few-tokens"
        assert caught.value.where == "spec.data.sources[1]"
        assert not (tmp_path / "shards/encode").exists()


class Program:
    """The stage program on a prepared folder."""

    def __init__(self, folder: Path, parallelism: int) -> None:
        self.run = folder / "run"
        job = prepare(self.run, parallelism)
        tokenizer.run(a_context(job, folder, "tokenizer", {Stage.PREPARE: PREPARED}))
        (folder / "job.json").write_text(job.model_dump_json(by_alias=True, exclude_none=True))
        upstream = {Stage.PREPARE: PREPARED, Stage.TOKENIZER: "tokenizer"}
        self.shards = self.run / "shards" / fingerprint(Stage.ENCODE, job.spec, upstream)
        self.command = [
            sys.executable,
            "-m",
            "pretrain_trainer",
            "--stage",
            "Encode",
            "--job",
            str(folder / "job.json"),
        ]
        self.command += itertools.chain.from_iterable(("--upstream", f"{s}={f}") for s, f in upstream.items())

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command, start_new_session=True)

    def finish(self) -> dict[str, str]:
        with self.start() as process:
            assert process.wait(300) == 0
        return {name: digest for name, digest in digests(self.shards).items() if not name.endswith("manifest.json")}


def bytes_of(encoded: Path) -> dict[str, str]:
    return {n: d for n, d in digests(encoded / "shards/encode").items() if not n.endswith("manifest.json")}


class TestProgram:
    @pytest.mark.parametrize("parallelism", [1, 2, 3])
    def test_writes_the_same_bytes_with_any_number_of_processes(
        self, tmp_path: Path, encoded: Path, parallelism: int
    ) -> None:
        assert Program(tmp_path, parallelism).finish() == bytes_of(encoded)

    @pytest.mark.parametrize("pieces", [1, 7])
    def test_killed_in_the_middle_goes_on_and_writes_the_same_bytes(
        self, tmp_path: Path, encoded: Path, pieces: int
    ) -> None:
        program = Program(tmp_path, 2)

        def finished() -> list[Path]:
            return sorted(program.shards.glob("code/pieces/*.json"))

        with program.start() as process:
            eventually(finished, lambda paths: len(paths) >= pieces, within_seconds=60, every_seconds=0.01)
            os.killpg(process.pid, signal.SIGKILL)
        assert not list(program.shards.rglob("manifest.json"))
        assert program.finish() == bytes_of(encoded)
