"""Runs that read and commit as training does, on any number of ranks, without a model: for tests of the ledger."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from support.token_runs import UPSTREAM, a_job, write_source

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.objectives import tokens_per_sample
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.data import opened
from pretrain_trainer.data.batches import GlobalBatches, unmade
from pretrain_trainer.data.mixture import data_order, mixture_of, segments_from
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.training import commit_log, ledger
from pretrain_trainer.training.history import StepFigures, write_history

FINGERPRINT = "f" * 16


@dataclass
class LedgerRun:
    """A run in a folder. `train` goes on from the newest commit, as often as it is called."""

    storage: Storage
    batch: int = 12
    sizes: Sequence[int] = (40, 23)
    records: Sequence[int] = (5, 4)
    """Samples in each record of a source."""
    max_epochs: Sequence[int | None] = (None, None)
    generation: int = 0
    reader: Callable[..., Any] = SampleReader
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.names = tuple(f"s{n}" for n in range(len(self.sizes)))
        self._write_sources()

    def _write_sources(self) -> None:
        for number, (name, samples) in enumerate(zip(self.names, self.sizes, strict=True)):
            write_source(self.storage, name, number, samples, 1, samples_per_record=self.records[number], shards=3)

    def train(
        self, steps: int, *, world: int = 1, weights: Sequence[float] = (7, 3), every: int = 4, lost: int = 0,
        skipped: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """Take so many steps with a commit after each `every` and after the last; then `lost` more without one."""
        self.generation += 1
        spec = self._spec(weights)
        manifests = opened.read(self.storage, spec, UPSTREAM["Encode"])
        length = tokens_per_sample(spec)
        log = commit_log.read_log(self.storage)
        parent = log[-1] if log else None
        position = parent.samples if parent else 0
        segments = segments_from(parent.segments if parent else (), tuple(map(float, weights)), position)
        mixture = mixture_of(spec, [manifest for _, manifest in manifests], segments)
        order = data_order(self.storage, spec, FINGERPRINT, UPSTREAM["Encode"])
        self.storage.write_json(layout.ledger_order(FINGERPRINT), order.model_dump(mode="json", by_alias=True))
        pending: list[StepFigures] = []
        with ExitStack() as stack:
            ranks = [
                iter(
                    stack.enter_context(
                        GlobalBatches(
                            self.reader(self.storage, manifests), mixture, self.batch, rank, world, position, unmade
                        )
                    )
                )
                for rank in range(world)
            ]
            for number in range(1, steps + lost + 1):
                parts = [ledger.own_part(next(batches), len(self.names)) for batches in ranks]
                read = ledger.step_read(list(np.sum(parts, axis=0)), position, mixture, self.names, segments)
                position += self.batch
                step = position // self.batch
                tokens = position * length
                is_skipped = step in skipped
                pending.append(StepFigures(step, 1.0, tokens, 0.1, 1.0, 1.0, 1.0, 0.0, is_skipped, {}, read))
                if number <= steps and (number % every == 0 or number == steps):
                    parent = self._commit(parent, position, length, segments, pending)
                    pending = []

    def _commit(
        self, parent: Commit | None, position: int, length: int, segments: Any, pending: list[StepFigures]
    ) -> Commit:
        step = position // self.batch
        history, sha256 = write_history(self.storage, FINGERPRINT, f"{self.generation}-x", pending)
        return commit_log.append(
            self.storage,
            Commit(
                sequence=parent.sequence + 1 if parent else 1, fingerprint=FINGERPRINT, generation=self.generation,
                step=step, samples=position, segments=segments, tokens=position * length, final=False,
                data=f"{layout.CHECKPOINT_DATA}/collected", manifest_sha256="", history=history,
                history_sha256=sha256, parent=parent.sequence if parent else 0,
                parent_sha256=commit_log.sha256(self.storage, parent.sequence) if parent else "",
                time=datetime.now(UTC), nonce=f"{self.generation}-{step}",
            ),
        )  # fmt: skip

    def _spec(self, weights: Sequence[float]) -> Any:
        job = a_job(self.storage.root, sources=self.names, globalBatchSize=self.batch)  # type: ignore[arg-type]
        for source, weight, epochs in zip(job["spec"]["data"]["sources"], weights, self.max_epochs, strict=True):
            source.update(weight=weight, maxEpochs=epochs)
        return PretrainJob.model_validate(job).spec

    def seal_again(self) -> None:
        """Make checksums fit what stands there now, as somebody who rewrites a whole ledger would."""
        before = ("", 0)
        for commit in commit_log.read_log(self.storage):
            sha256 = hashlib.sha256(self.storage.read_bytes(commit.history)).hexdigest() if commit.history else ""
            sealed = commit.model_copy(
                update={"history_sha256": sha256, "parent_sha256": before[0], "parent": before[1]}
            )
            path = layout.commit(commit.sequence)
            self.storage.write_bytes(path, sealed.model_dump_json(indent=1).encode())
            before = (commit_log.sha256(self.storage, commit.sequence), commit.sequence)
