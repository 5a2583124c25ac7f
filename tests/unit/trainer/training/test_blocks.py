"""Which layers of a model are sharded and compiled one by one."""

import pytest
from support.pictures import a_vit
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from pretrain_api import presets
from pretrain_api.errors import UserError
from pretrain_trainer.objectives.distillation import Distilled, Head
from pretrain_trainer.training import sharding


def test_the_layers_of_a_decoder() -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**presets.config("llama-nano"), vocab_size=64))
    assert sharding.blocks(model) == list(model.model.layers)


def test_the_layers_of_an_encoder_and_of_its_decoder_not_the_lists_within_them() -> None:
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(**presets.config("t5-nano"), vocab_size=64))
    assert sharding.blocks(model) == [*model.encoder.block, *model.decoder.block]


def test_the_layers_of_every_model_in_what_is_trained() -> None:
    distilled = Distilled(a_vit(), Head(16, 8))
    assert sharding.blocks(distilled) == [*distilled.student.layers, *distilled.teacher.layers]
    sharding.recompute_activations(distilled)
    assert distilled.student.is_activation_checkpointing


def test_a_model_that_cannot_recompute_is_the_users_mistake() -> None:
    model = AutoModel.from_config(AutoConfig.for_model("resnet", depths=[1], hidden_sizes=[8], embedding_size=8))
    with pytest.raises(UserError) as caught:
        sharding.recompute_activations(model)
    assert (caught.value.code, caught.value.where) == (
        "activations-not-recomputed",
        "spec.training.activationCheckpointing",
    )
