import re
from typing import Any

import pytest
import torch

from pretrain_api import presets
from pretrain_api.errors import UserError
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.model import Objective
from pretrain_trainer import models

LLAMA = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip


def a_spec(
    config: dict[str, Any] | None = None, preset: str = "", objective: str = "causalLM", **training: Any
) -> PretrainJobSpec:
    return PretrainJobSpec.model_validate(
        {
            "storage": {"uri": "unused"},
            "data": {"sources": [{"name": "a", "documents": "unused"}]},
            "tokenizer": {"train": {}},
            "model": {"config": config} if config else {"preset": preset},
            "objective": {objective: {}},
            "training": {"sequenceLength": 64, "globalBatchSize": 1, "steps": 1, **training},
        }
    )


@pytest.mark.parametrize(
    ("config", "code", "advice"),
    [
        ({**LLAMA, "model_type": "lama"}, "model-type-unknown", "llama"),
        ({"hidden_size": 32}, "model-type-unknown", "llama"),
        ({**LLAMA, "hiden_size": 32}, "model-config-unknown-setting", "hidden_size"),
        ({**LLAMA, "num_attention_heads": 5}, "model-config-invalid", "Correct"),
        ({**LLAMA, "max_position_embeddings": 32}, "sequence-longer-than-positions", "sequenceLength: 32"),
        ({**LLAMA, "vocab_size": 99}, "vocabulary-smaller-than-tokenizer", "vocab_size: 128"),
        ({"model_type": "vit"}, "model-not-for-objective", "llama"),
    ],
)
def test_a_wrong_configuration_is_refused_with_advice(config: dict[str, Any], code: str, advice: str) -> None:
    with pytest.raises(UserError) as error:
        models.build(a_spec(config), 100)
    assert error.value.code == code
    assert advice in error.value.instead


def test_a_prefix_that_a_sliding_window_does_not_hold_is_refused() -> None:
    config = {**LLAMA, "model_type": "mistral", "sliding_window": 32}
    prefixed = {"objective": Objective.model_validate({"prefixLM": {}})}
    with pytest.raises(UserError) as error:
        models.configuration(a_spec(config).model_copy(update=prefixed), 100)
    assert (error.value.code, error.value.where) == ("prefix-mask-unsupported", "spec.training.sequenceLength")
    assert "sequenceLength: 32" in error.value.instead
    models.configuration(a_spec(config, sequenceLength=32).model_copy(update=prefixed), 100)
    models.configuration(a_spec(config), 100)  # causal attention in windows is as the model wants it


def test_the_vocabulary_follows_the_tokenizer_in_whole_tiles() -> None:
    assert models.configuration(a_spec(LLAMA), 100).vocab_size == 128
    assert models.configuration(a_spec({**LLAMA, "vocab_size": 100}), 100).vocab_size == 100


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state_alone() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (models.build(a_spec(LLAMA, seed=seed), 100).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_the_end_of_text_is_learnt_even_where_it_is_the_padding_too() -> None:
    model = models.build(a_spec(LLAMA), 100, end_of_text=3, padding=3)
    assert (model.config.eos_token_id, model.config.pad_token_id) == (3, 3)
    assert model.get_input_embeddings().padding_idx is None


def test_a_decoder_beside_an_encoder_begins_with_the_padding() -> None:
    model = models.build(a_spec(preset="t5-nano", objective="spanCorruption"), 400, end_of_text=0, padding=1)
    assert type(model).__name__ == "T5ForConditionalGeneration"
    assert (model.config.decoder_start_token_id, model.config.pad_token_id) == (1, 1)
    assert (model.config.bos_token_id, model.config.eos_token_id) == (0, 0)


def test_what_a_generation_is_forced_to_end_with_is_the_tokenizers_end_of_text() -> None:
    bart = {
        "model_type": "bart",
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "max_position_embeddings": 64,
    }
    model = models.build(a_spec(bart, objective="spanCorruption"), 100, end_of_text=3, padding=4)
    assert model.config.forced_eos_token_id == 3


SCALE = {"M": 1e6, "B": 1e9}
OBJECTIVES = {
    "causal": "causalLM", "masked": "maskedLM", "seq2seq": "spanCorruption", "twoTowers": "clip",
    "imageAutoencoder": "mae", "imageEncoder": "dino",
}  # fmt: skip
VOCABULARY = 448
EMBEDDINGS = ("embed_tokens", "token_embedding", "word_embeddings", "wte", "shared", "lm_head", "decoder.bias")
"""Parts of the names of parameters whose number the tokenizer decides."""


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_has_as_many_parameters_as_it_says(name: str) -> None:
    preset = presets.PRESETS[name]
    spec = a_spec(preset=name, objective=OBJECTIVES[preset.architecture])
    config = models.configuration(spec, None if preset.architecture.startswith("image") else VOCABULARY)
    with torch.device("meta"):
        model = models.auto_class(spec).from_config(config)
    count = sum(
        parameter.numel()
        for parameter_name, parameter in model.named_parameters()
        if not (parameter.shape[:1] == (VOCABULARY,) and any(part in parameter_name for part in EMBEDDINGS))
    )
    match = re.match(r"([\d.]+) ([MB]) parameters", preset.summary)
    assert match
    assert count == pytest.approx(float(match.group(1)) * SCALE[match.group(2)], rel=0.02)
