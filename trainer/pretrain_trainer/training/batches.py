"""From the reader's NumPy samples to the tensors that objectives take."""

import torch

from pretrain_trainer.data.samples import Samples
from pretrain_trainer.objectives import Batch


def as_batch(samples: Samples) -> Batch:
    """The same memory as tensors on the CPU."""
    return Batch(
        torch.from_numpy(samples.tokens), torch.from_numpy(samples.document_ids), torch.from_numpy(samples.valid)
    )
