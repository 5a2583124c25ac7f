"""Runs on images in a test's folder: tars as people write them, the split that Encode makes of them, and the job."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.given_shards import index
from support.prepared import a_context
from support.tars import tar
from support.token_runs import UPSTREAM

from pretrain_api import layout
from pretrain_api.stages import CompletionRecord, Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.data import image_splits

TINY_MAE = {
    "model_type": "vit_mae", "patch_size": 2, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 64, "decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 64,
}  # fmt: skip

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Record = Mapping[str, bytes]
"""Content of each member by its name."""


@functools.cache
def digits(count: int) -> tuple[Record, ...]:
    """Handwritten digits of scikit-learn as PNG of 8 px, each with what it shows (doi:10.24432/C50P49)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    records = []
    for pixels, label in zip(found.images[:count], found.target[:count], strict=True):
        out = io.BytesIO()
        Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(out, "PNG")
        records.append({"png": out.getvalue(), "json": json.dumps({"label": str(label)}).encode()})
    return tuple(records)


def written(folder: Path, records: Iterable[Record], shards: int = 3) -> Path:
    """Tars of the records, as evenly as it goes, with their indexes; the manifest's path."""
    folder.mkdir(parents=True)
    numbered = list(enumerate(records))
    for shard, places in enumerate(np.array_split(np.arange(len(numbered)), shards)):
        files = {f"{n:05d}.{name}": data for n in places.tolist() for name, data in numbered[n][1].items()}
        (folder / f"{shard:03d}.tar").write_bytes(tar(files))
    index(folder)
    return folder / layout.MANIFEST


def a_job(root: Path, manifests: Mapping[str, Path | str], **spec: Any) -> dict[str, Any]:
    """A job of a tiny masked autoencoder; its sources by name."""
    return {
        "apiVersion": "pretrain.dev/v1alpha1",
        "kind": "PretrainJob",
        "metadata": {"name": "images"},
        "spec": {
            "storage": {"uri": str(root)},
            "data": {
                "sources": [
                    {"name": name, "shards": str(path), "weight": 1 + number}
                    for number, (name, path) in enumerate(manifests.items())
                ],
                "validation": {"fraction": 0.2},
            },
            "model": {"config": TINY_MAE},
            "objective": {"mae": {"imageSize": 8, "horizontalFlip": 0.0}},
            "training": {
                "globalBatchSize": 6, "microBatchSize": 2, "steps": 12, "precision": "fp32",
                "optimizer": {"adamw": {"learningRate": 1e-3}}, "schedule": {"warmupSteps": 2},
            },
            "checkpoint": {"everySeconds": 1, "keepLast": 3, "keepEverySteps": 0},
            "evaluation": {"everySteps": 0},
            **spec,
        },
    }  # fmt: skip


def encode(job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Run Encode of the job under the identity that `token_runs.start` names; the details of its record."""
    context = a_context(PretrainJob.model_validate(job), scratch, UPSTREAM["Encode"], {Stage.PREPARE: "p" * 16})
    return dict(image_splits.run(context).details["bySource"])


def record(job: dict[str, Any], stage: Stage = Stage.ENCODE, **content: Any) -> None:
    """Leave a completed stage in the job's storage, and the status that names it."""
    storage = Storage(job["spec"]["storage"]["uri"])
    fingerprint = UPSTREAM.get(stage.value, "e" * 16)
    done = CompletionRecord(
        stage=stage, fingerprint=fingerprint, upstream={}, started=_NOON, completed=_NOON, seconds=1.0, **content
    )
    storage.write_json(layout.record(stage, fingerprint), done.model_dump(mode="json"))
    job.setdefault("status", {}).setdefault("stages", []).append(
        {"name": stage.value, "state": "Complete", "fingerprint": fingerprint}
    )
    storage.write_json(layout.STATUS, job)
