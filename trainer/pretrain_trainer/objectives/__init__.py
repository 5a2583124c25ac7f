"""Pre-training objectives, one file each: what is predicted from a batch of packed sequences, and its loss.

`build` picks the one that the job asks for; the training loop knows none of them by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain_trainer.objectives.causal_lm import CausalLanguageModel
from pretrain_trainer.objectives.interface import Batch, Objective, Sums

if TYPE_CHECKING:
    from pretrain_api.types.model import Objective as ObjectiveSpec

__all__ = ["Batch", "Objective", "Sums", "build"]


def build(spec: ObjectiveSpec) -> Objective:
    """The objective that the job asks for. Validation has refused those that do not exist yet."""
    if spec.causal_lm is None:
        raise NotImplementedError(f"no such objective yet: {spec.model_dump(exclude_none=True)}")
    return CausalLanguageModel(document_mask=spec.causal_lm.document_mask, z_loss=spec.causal_lm.z_loss)
