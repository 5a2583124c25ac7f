"""Prepared documents and the context of a stage, for tests of the stages behind Prepare."""

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pretrain_api import layout
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.progress import Progress

PREPARED = "0123456789abcdef"


def write_documents(
    storage: Storage, source: str, texts: Sequence[str], documents_per_part: int = 100, documents_per_group: int = 20
) -> None:
    """The documents of a source as Prepare leaves them."""
    folder = layout.documents(PREPARED, source)
    for part, begin in enumerate(range(0, len(texts), documents_per_part)):
        some = texts[begin : begin + documents_per_part]
        table = pa.table(
            {
                "id": [f"{source}/{part}/{i}" for i in range(len(some))],
                "text": list(some),
                "url": ["file:///a.txt"] * len(some),
                "license": [""] * len(some),
            }
        )
        with storage.create(f"{folder}/{part:06d}.parquet") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=documents_per_group)
        size = sum(len(text.encode()) for text in some)
        storage.write_json(f"{folder}/{part:06d}.json", {"documents": len(some), "bytes": size})


def a_job(folder: Path, sources: Sequence[Mapping[str, Any]], **parts: Any) -> PretrainJob:
    """A small job over the folder; `parts` replace whole sections of the spec."""
    spec = {
        "storage": {"uri": str(folder)},
        "data": {"sources": list(sources), "validation": {"fraction": 0.1}, "prepare": {"parallelism": 1}},
        "tokenizer": {"train": {"vocabSize": 300}},
        "model": {"preset": "llama-tiny"},
        "objective": {"causalLM": {}},
        "training": {"sequenceLength": 16, "globalBatchSize": 4, "steps": 10},
        **parts,
    }
    return PretrainJob.model_validate(
        json.loads(
            json.dumps(
                {
                    "apiVersion": "pretrain.dev/v1alpha1",
                    "kind": "PretrainJob",
                    "metadata": {"name": "test"},
                    "spec": spec,
                }
            )
        )
    )


def a_context(job: PretrainJob, scratch: Path, fingerprint: str, upstream: Mapping[Stage, str]) -> StageContext:
    """The context in which the stage program would call the stage."""
    return StageContext(
        job, Storage.of(job.spec.storage), upstream, fingerprint, Progress("Test", path=""), scratch, threading.Event()
    )


def run_stages(job: PretrainJob, scratch: Path) -> tuple[StageResult, StageResult]:
    """Tokenizer and Encode, one after the other, in this process."""
    from pretrain_trainer.stages import encode, tokenizer

    trained = tokenizer.run(a_context(job, scratch, "tokenizer", {Stage.PREPARE: PREPARED}))
    encoded = encode.run(a_context(job, scratch, "encode", {Stage.PREPARE: PREPARED, Stage.TOKENIZER: "tokenizer"}))
    return trained, encoded
