"""What the proofs have in common that a model can learn an objective: it is tried on a few tokens before the first step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pretrain_api.errors import UserError


@contextlib.contextmanager
def trying(model: nn.Module) -> Iterator[None]:
    """While this lasts, the model has no dropout and makes no graph; it is left as it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def same(one: Tensor, other: Tensor) -> bool:
    """Whether logits are equal but for the order of their sums."""
    return torch.allclose(one, other, 1e-4, 1e-5)


def first_line(error: Exception) -> str:
    """What a library says of a model that does not run, as the end of a sentence."""
    return f"{(str(error) or type(error).__name__).splitlines()[0].rstrip('.')}."


def documents_are_seen(objective: str) -> UserError:
    """Documents of a packed sequence do not stay apart, in an objective by its field in spec.objective."""
    return UserError(
        "document-mask-unsupported",
        f"spec.objective.{objective}.documentMask",
        "The tokens of this model see the documents before theirs whatever the attention mask says.",
        "Write documentMask: none.",
    )
