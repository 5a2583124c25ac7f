"""Pre-training objectives, one file each: what is predicted from a batch of packed sequences or of images, and its loss.

The file of an objective is called as its field in `pretrain_api.types.model.Objective`, and has a function `build`. Nothing
else knows any of them by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pretrain_trainer.objectives.interface import Batch, Moment, Objective, Parts, Sums
from pretrain_trainer.objectives.passes import Passes

if TYPE_CHECKING:
    from pretrain_api.types.model import Objective as ObjectiveSpec

__all__ = ["Batch", "Moment", "Objective", "Parts", "Passes", "Sums", "build"]


def build(spec: ObjectiveSpec, parts: Parts) -> Objective[Any]:
    """The objective that the job asks for. Validation has refused those that do not exist yet."""
    name = next(name for name in type(spec).model_fields if getattr(spec, name) is not None)
    module = importlib.import_module(f"{__name__}.{name}")
    found: Objective[Any] = module.build(getattr(spec, name), parts)
    return found
