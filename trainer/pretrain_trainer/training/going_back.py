"""Going back to a checkpoint within a start of training: after steps that were not finite, and when replicas differ."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pretrain_api.errors import PretrainError
from pretrain_trainer.agent.board import Phase, at
from pretrain_trainer.training import replicas
from pretrain_trainer.training.checkpoints import Position

if TYPE_CHECKING:
    from pretrain_trainer.training.loop import Training

_LOGGER = logging.getLogger(__name__)
SKIPS_IN_A_ROW = 10
"""After so many steps with a non-finite loss or gradient in a row training goes back to a checkpoint, past their samples."""
RETURNS = 3
"""To one checkpoint training goes back so often; then it ends."""


class NonFinite(PretrainError):
    """Loss or gradient stayed infinite or NaN for many steps."""

    kind = "NonFinite"


class Corruption(PretrainError):
    """Replicas that should be the same were not, again and again, or with no checkpoint to go back to."""

    kind = "Corruption"


def past_what_is_not_finite(training: Training) -> None:
    """After too many skipped steps in a row, take the weights of the newest checkpoint and go on behind the steps since: all
    of them count as skipped, their samples were read and changed nothing. What makes a loss infinite was often done to
    the weights some steps before (as in PaLM, Chowdhery et al. 2022, section 5.1)."""
    here, length = training.position, training.length
    if here.skipped_in_a_row < SKIPS_IN_A_ROW:
        return
    what = f"loss or gradient was not finite in {SKIPS_IN_A_ROW} steps in a row"
    before = _newest_checkpoint(training)
    if before is None or training.pending[0].step != before.step + 1:
        raise NonFinite(f"{what}, up to step {here.step}. Lower the learning rate or look at the data of these steps.")
    training.pending = [replace(figures, skipped=True) for figures in training.pending]
    skipped = before.skipped + here.step - before.step
    training.position = replace(here, updates=before.updates, skipped=skipped, skipped_in_a_row=0, spent=before.spent)
    message = f"{what}; went back to the weights of step {before.step} and past the samples since"
    training.context.progress.update("step", here.step, length.steps, "steps", message=message)


def from_corruption(training: Training) -> bool:
    """Compare the replicas. Where they differ, go back to the newest checkpoint, before which they did not, and train from
    there again; whether it came to that. All ranks call it together."""
    odd = replicas.corrupted(training.tensors().values(), training.world)
    if not odd:
        return False
    what = f"the replicas differ at step {training.position.step}: {odd}"
    before = _newest_checkpoint(training)
    if before is None:
        raise Corruption(
            f"{what}. Look at memory and processor of these machines; replicas need processors of one kind."
        )
    training.position, training.pending = before, []
    message = f"{what}; went back to step {before.step}"
    _LOGGER.error(message)
    training.context.progress.update("step", before.step, training.length.steps, "steps", message=message)
    return True


def _newest_checkpoint(training: Training) -> Position | None:
    """Take the weights of the newest checkpoint; its position. None where there is none, or it did not help."""
    checkpoints = training.checkpoints
    with at(Phase.SAVING):
        checkpoints.wait()
    training.in_save = []
    sequence: int = training.world.from_first(checkpoints.newest.sequence if checkpoints.newest else 0)
    training.returns[sequence] = training.returns.get(sequence, 0) + 1
    if training.returns[sequence] > RETURNS:
        return None
    with at(Phase.LOADING):
        before = checkpoints.load(training.tensors())
    if before:
        training.optimizer.set_updates(before.updates)
    return before
