"""A run whose sources are ready shards: another run's, arrays that others wrote, and captions in tars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from support.finished_runs import FinishedRun
from support.tars import npy, tar

from pretrain_api import layout
from pretrain_api.samples import SampleManifest
from pretrain_api.shards import Manifest
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.indexing import places, work

LENGTH = 32


class Patient:
    """Nobody who stops anything."""

    def check_stopping(self) -> None:
        pass


def index(folder: Path, tokenizer_sha256: str = "") -> SampleManifest:
    """What `pretrain index` writes."""
    manifest, faults = work.index(places.find([str(folder)], ""), "", 1, tokenizer_sha256, Patient())
    assert faults == []
    return manifest


def encoded(folder: Path) -> FinishedRun:
    """A run up to Encode."""
    run = FinishedRun(folder)
    run.succeed(Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE)
    return run


def manifest_uri(run: FinishedRun, source: str) -> str:
    return run.storage.path(f"{layout.shards(run.upstream[Stage.ENCODE], source)}/{layout.MANIFEST}")


def tokenizer_uri(run: FinishedRun) -> str:
    return run.storage.path(layout.tokenizer(run.upstream[Stage.TOKENIZER]))


def tokens_of(storage: Storage, folder: str, split: str = "train") -> np.ndarray:
    """The samples of a source, [samples, sequenceLength + 1], without those that are partly padding."""
    manifest = Manifest.model_validate(storage.read_json(f"{folder}/{layout.MANIFEST}"))
    count = getattr(manifest, split).samples
    read = SampleReader(storage, [(manifest.folder or folder, manifest)], split).read(
        np.zeros(count, dtype=np.int64), np.arange(count)
    )
    return read.tokens[read.valid.all(axis=1)]


def write_arrays(folder: Path, arrays: list[np.ndarray], records_per_tar: int = 4, member: str = "npy") -> Path:
    """Tars with an array in each record."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, begin in enumerate(range(0, len(arrays), records_per_tar)):
        some = enumerate(arrays[begin : begin + records_per_tar], begin)
        (folder / f"{number:06d}.tar").write_bytes(tar({f"{i:05d}.{member}": npy(array) for i, array in some}))
    return folder


def given(folder: Path, other: FinishedRun, sources: list[dict[str, Any]], **spec: Any) -> FinishedRun:
    """A run with these sources and the other one's tokenizer."""
    run = other.copy(folder)
    run.storage.remove("")
    job = json.loads(run.job.read_text())
    data = {"sources": sources, "validation": {"fraction": 0.1}, "prepare": {"parallelism": 1}}
    job["spec"] |= {"data": data, "tokenizer": {"uri": tokenizer_uri(other)}, **spec}
    run.job.write_text(json.dumps(job))
    run.upstream = {}
    return run
