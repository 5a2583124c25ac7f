"""Runs that read images and commit as training does, without a model: for audits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import image_runs
from support.ledger_runs import LedgerRun

from pretrain_api.types import PretrainJob
from pretrain_trainer.data import opened


@dataclass
class ImageLedgerRun(LedgerRun):
    """Of digits, a few of them without an image; tars lie beside the run."""

    sizes: Sequence[int] = (40, 23)
    reader: Callable[..., Any] = opened.reader
    captioned: bool = False
    """Whether training reads what the images show as well."""
    manifests: dict[str, Path] = field(init=False)

    def _write_sources(self) -> None:
        records = image_runs.digits(sum(self.sizes))
        self.manifests, first = {}, 0
        root = Path(self.storage.root)
        for name, size in zip(self.names, self.sizes, strict=True):
            some = [*records[first : first + size - 2], {"json": b"{}"}, records[first + size - 1]]
            self.manifests[name] = image_runs.written(root.parent / f"{root.name}-{name}", some)
            first += size
        image_runs.encode(self._manifest((7, 3)), root.parent)

    def _spec(self, weights: Sequence[float]) -> Any:
        return PretrainJob.model_validate(self._manifest(weights)).spec

    def _manifest(self, weights: Sequence[float]) -> dict[str, Any]:
        job = image_runs.a_job(Path(self.storage.root), self.manifests)
        job["spec"]["training"]["globalBatchSize"] = self.batch
        if self.captioned:
            job["spec"]["objective"] = {"clip": {}}
        for source, weight, epochs in zip(job["spec"]["data"]["sources"], weights, self.max_epochs, strict=True):
            source.update(weight=weight, maxEpochs=epochs, **({"fields": {"text": "label"}} if self.captioned else {}))
        return job
