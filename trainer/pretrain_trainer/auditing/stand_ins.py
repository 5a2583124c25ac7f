"""Samples that the ledger names stand-ins, held against the notes of damaged records: without one, they were left out for nothing."""

from collections.abc import Collection, Iterator

import numpy as np

from pretrain_api.ledger import DataOrder
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.findings import Difference, Place
from pretrain_trainer.auditing.ledger import Line
from pretrain_trainer.data.order import Mixture, locate
from pretrain_trainer.data.quarantine import note_path


def check(storage: Storage, order: DataOrder, mix: Mixture, lines: Collection[Line]) -> Iterator[Difference]:
    """A difference for each step that names a stand-in whose record nobody noted as damaged."""
    size = order.global_batch_size
    own = {line.step: range((line.step - 1) * size, line.step * size) for line in lines}
    named = [(line.step, g) for line in lines for g in line.read.stand_ins if g in own[line.step]]
    if not named:
        return
    source, _, index = locate(mix, np.array([g for _, g in named], dtype=np.int64))
    folder = note_path(order.fingerprint, "", "train", 0).rpartition("/")[0]
    notes, told = set(storage.names(folder)), set[int]()
    for (step, g), number, sample in zip(named, source.tolist(), index.tolist(), strict=True):
        of = order.sources[number]
        path = note_path(order.fingerprint, of.name, "train", sample // of.samples_per_record)
        if path.rpartition("/")[2] not in notes and step not in told:
            told.add(step)
            yield Difference(f"it is named a stand-in, but there is no {path}", Place(step, g, of.name))
