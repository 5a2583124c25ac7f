"""Operations by formula against those that PyTorch counts."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from pretrain_api import presets, spans
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.objectives.span_corruption import SpanCorruption
from pretrain_trainer.training import flops

BART = {
    "model_type": "bart", "d_model": 64, "encoder_layers": 3, "decoder_layers": 2, "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 256,
    "dropout": 0.0,
}  # fmt: skip


@pytest.mark.parametrize("preset", ["llama-nano", "bert-nano"])
def test_the_operations_of_a_token_are_those_of_a_step_with_attention_counted_whole(preset: str) -> None:
    settings = presets.config(preset)
    config = AutoConfig.for_model(**settings, vocab_size=512, attn_implementation="eager")
    auto = AutoModelForMaskedLM if preset.startswith("bert") else AutoModelForCausalLM
    model = auto.from_config(config)
    tokens = torch.randint(0, 512, (2, 256))
    with FlopCounterMode(display=False) as counted:
        model(input_ids=tokens).logits.sum().backward()
    # Not within the counted ones: products of norms and biases, which have parameters and no matrix.
    assert flops.per_token(model, 256) == pytest.approx(counted.get_total_flops() / tokens.numel(), rel=0.01)


@pytest.mark.parametrize("settings", [presets.config("t5-nano"), BART], ids=["t5", "bart"])
def test_the_operations_of_an_encoder_decoder_are_those_of_its_step(settings: dict) -> None:
    config = AutoConfig.for_model(**settings, vocab_size=512, attn_implementation="eager")
    config.pad_token_id, config.decoder_start_token_id = None, 1
    model = AutoModelForSeq2SeqLM.from_config(config)
    tokens = np.random.default_rng(1).integers(2, 512, (2, 257)).astype(np.int32)
    samples = Samples(tokens, np.zeros_like(tokens), np.ones(tokens.shape, np.bool_), np.zeros(2, np.bool_))
    objective = SpanCorruption(tuple(range(100)), 0, 1, seed=1)
    batch = objective.batch(samples, np.arange(2))
    with FlopCounterMode(display=False) as counted:
        objective.sums(model, batch, 1.0).objective.backward()
    expected = counted.get_total_flops() / (2 * 256)
    assert flops.per_token_of_encoder_decoder(model, spans.cut(256, 0.15, 3.0)) == pytest.approx(expected, rel=0.03)
