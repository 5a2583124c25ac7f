"""What a step read, put together from all ranks: the line that the ledger gets. No torch here.

It says what the batches held, not what they should have held: an audit compares the two.
"""

from collections.abc import Sequence

import numpy as np

from pretrain_api.commits import WeightSegment
from pretrain_api.ledger import StepRead
from pretrain_trainer.data.batches import AnyBatch
from pretrain_trainer.data.digests import halves, joined
from pretrain_trainer.data.order import Mixture
from pretrain_trainer.data.seen import samples_seen


def own_part(batch: AnyBatch, sources: int) -> list[float]:
    """What this rank adds to the sums over ranks: samples by source, then the halves of the digests."""
    return [*np.bincount(batch.source, minlength=sources).astype(float), *halves(batch.digests)]


def stand_ins(batch: AnyBatch) -> list[int]:
    """Positions of this rank's samples whose record was damaged."""
    positions: list[int] = batch.positions[batch.samples.stand_ins].tolist()
    return positions


def step_read(
    added: Sequence[float], first: int, mixture: Mixture, names: Sequence[str], segments: Sequence[WeightSegment]
) -> StepRead:
    """The line of a step that began at position `first`, from the sums of all ranks' `own_part`."""
    counts = [int(count) for count in added[: len(names)]]
    taken = zip(names, samples_seen(mixture, first), counts, strict=True)
    return StepRead(
        samples=(first, first + sum(counts)),
        segment=len(segments) - 1,
        taken={name: (before, before + count) for name, before, count in taken if count},
        digests=tuple(f"{digest:016x}" for digest in joined(added[len(names) :])),
    )
