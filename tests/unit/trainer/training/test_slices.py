"""The gradient of a step is that of its global batch, whatever the number of ranks: with the loop's own forward and
backward passes, rank by rank, and gradients added as between ranks."""

import numpy as np
import pytest
import torch
from support import world_steps
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.objectives.causal_lm import CausalLanguageModel

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES, WIDTH, VOCABULARY = 11, 33, 50
CONFIG = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "vocab_size": VOCABULARY,
}  # fmt: skip


def samples() -> Samples:
    """Documents of uneven length, padding, and a sample in which nothing counts: slices differ in their targets."""
    rng = np.random.default_rng(3)
    starts = rng.random((SAMPLES, WIDTH)) < 0.15
    starts[:, 0] = False
    valid = np.ones((SAMPLES, WIDTH), dtype=np.bool_)
    valid[2], valid[5, 20:], valid[-1, 3:] = False, False, False
    ids = np.cumsum(starts, axis=1).astype(np.int32)
    tokens = rng.integers(0, VOCABULARY, (SAMPLES, WIDTH)).astype(np.int32)
    return Samples(tokens, ids, valid, np.zeros(SAMPLES, dtype=np.bool_))


def step(world: int, micro: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Gradient [parameters] and loss of each sample [SAMPLES], as the ranks of a world make them together."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**CONFIG), dtype=dtype)
    objective = CausalLanguageModel(z_loss=1e-3)
    objective.prepare(model)
    return world_steps.step(objective, model, samples(), np.arange(SAMPLES), world, micro)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)], ids=["fp64", "fp32"])
def test_the_gradient_is_that_of_the_global_batch_on_1_to_8_and_more_ranks_than_samples(
    dtype: torch.dtype, tolerance: float
) -> None:
    gradient, losses = step(1, SAMPLES, dtype)
    size = float(gradient.abs().max())
    for world in (1, 2, 3, 4, 5, 6, 7, 8, 13):
        found, found_losses = step(world, 3, dtype)
        assert float((found - gradient).abs().max()) < tolerance * size, world
        torch.testing.assert_close(found_losses, losses, rtol=1e-5, atol=1e-6)


def test_a_mean_of_the_ranks_means_would_be_another_gradient() -> None:
    """The slices are uneven enough for the test above to notice a loss that is divided by the rank's own targets."""
    whole = samples()
    own = []
    for rank in range(7):
        part = whole.rows(rank_slice(SAMPLES, rank, 7))
        batch = CausalLanguageModel().batch(part, np.arange(len(part)))
        own.append(int(CausalLanguageModel().targets(batch).sum()))
    assert max(own) > 1.5 * min(own)
