"""What every objective owes the training loop, whatever it learns: a row for each."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import world_steps
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor, nn
from transformers import PreTrainedModel

from pretrain_api import objectives as api
from pretrain_api.types import PretrainJobSpec
from pretrain_trainer import models, objectives
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.objectives import Moment, Objective, Parts, Passes
from pretrain_trainer.tokenizer import LoadedTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTH, VOCABULARY, SIDE, SAMPLES = 32, 96, 16, 9
_WORDS = {"<end>": 0, "<padding>": 1, "<mask>": 2, "number": 3, **{str(digit): 4 + digit for digit in range(10)}}


def a_tokenizer() -> LoadedTokenizer:
    found = Tokenizer(WordLevel(_WORDS, unk_token="number"))
    found.pre_tokenizer = Whitespace()
    return LoadedTokenizer(found, 0, 1, 2, tuple(range(80, VOCABULARY)), VOCABULARY, "")


_DECODER = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64,
}  # fmt: skip
_ENCODER = {
    "model_type": "bert", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_position_embeddings": 64, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
_ENCODER_DECODER = {
    "model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2,
    "dropout_rate": 0.0,
}  # fmt: skip
_VIT = {
    "model_type": "vit", "patch_size": 8, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
    "num_attention_heads": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
_MAE = {
    **_VIT, "model_type": "vit_mae", "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2, "decoder_intermediate_size": 24,
}  # fmt: skip
_TOWER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 8,
}
_CLIP = {
    "model_type": "clip", "projection_dim": 8, "vision_config": {**_TOWER, "patch_size": 8},
    "text_config": {**_TOWER, "max_position_embeddings": 64},
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """An objective and a model that learns it."""

    settings: dict[str, Any]
    config: dict[str, Any]
    adds_up: bool = True
    """Whether the loss is a sum over samples, so that ranks need not be there together."""


ROWS = {
    "causalLM": Row({"zLoss": 1e-3}, _DECODER),
    "maskedLM": Row({"maskProbability": 0.3}, _ENCODER),
    "prefixLM": Row({}, _DECODER),
    "spanCorruption": Row({}, _ENCODER_DECODER),
    "mae": Row({"imageSize": SIDE}, _MAE),
    "clip": Row({"imageSize": SIDE}, _CLIP, adds_up=False),
    "simclr": Row({"imageSize": SIDE, "projectionSize": 8}, _VIT, adds_up=False),
    "dino": Row({"imageSize": SIDE, "localImageSize": 8, "localCrops": 2, "prototypes": 12}, _VIT),
}


def test_every_objective_has_a_row() -> None:
    assert set(ROWS) == set(api.KINDS)


def a_spec(name: str) -> PretrainJobSpec:
    row = ROWS[name]
    return PretrainJobSpec.model_validate(
        {
            "storage": {"uri": "unused"},
            "data": {"sources": [{"name": "a", "documents": "unused"}]},
            "tokenizer": {"train": {}},
            "model": {"config": row.config},
            "objective": {name: row.settings},
            "training": {"sequenceLength": LENGTH, "globalBatchSize": SAMPLES, "steps": 2},
        }
    )


def built(name: str) -> tuple[Objective[Any], nn.Module]:
    spec = a_spec(name)
    model = models.build(spec, VOCABULARY if api.reads_text(spec) else None, end_of_text=0, padding=1)
    objective = objectives.build(spec.objective, Parts(a_tokenizer, 7, model.config))
    module = objective.wrapped(model)
    objective.prepare(module)
    return objective, module.double()


def samples(name: str) -> Any:
    rng = np.random.default_rng(3)
    stand_ins = np.zeros(SAMPLES, dtype=np.bool_)
    if api.learns_text(a_spec(name)):
        tokens = rng.integers(3, 80, (SAMPLES, LENGTH + 1), dtype=np.int32)
        starts = rng.random(tokens.shape) < 0.1
        starts[:, 0] = False
        valid = np.ones(tokens.shape, dtype=np.bool_)
        valid[-1, 9:] = False
        return Samples(tokens, np.cumsum(starts, axis=1).astype(np.int32), valid, stand_ins)

    def png() -> bytes:
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(out, "PNG")
        return out.getvalue()

    images, captions = [png() for _ in range(SAMPLES)], [f"number {number}" for number in range(SAMPLES)]
    return ImageSamples(images, captions, stand_ins, lambda row, why: None)


def without(whole: Any, row: int) -> Any:
    """The samples, of which one is a stand-in."""
    stand_ins = whole.stand_ins.copy()
    stand_ins[row] = True
    if isinstance(whole, ImageSamples):
        return replace(whole, stand_ins=stand_ins)
    valid = whole.valid.copy()
    valid[row] = False
    return replace(whole, valid=valid, stand_ins=stand_ins)


POSITIONS = np.arange(50, 50 + SAMPLES, dtype=np.int64)


def update(name: str, objective: Objective[Any], module: nn.Module, moment: Moment) -> None:
    """One step of plain gradient descent."""
    module.zero_grad(set_to_none=True)
    world_steps.step(objective, module, samples(name), POSITIONS + moment.samples, 1, micro=4)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    objective.after_update(module, moment)


@pytest.mark.parametrize("name", ROWS)
class TestEveryObjective:
    def test_makes_the_same_batch_of_a_sample_whoever_has_it(self, name: str) -> None:
        objective, _ = built(name)
        whole = objective.batch(samples(name), POSITIONS)
        parts = [objective.batch(samples(name).rows(slice(n, n + 1)), POSITIONS[n : n + 1]) for n in range(SAMPLES)]
        for key, tensor in whole.tensors.items():
            assert torch.equal(torch.cat([part[key] for part in parts]), tensor), key

    def test_learns_nothing_from_what_is_no_sample(self, name: str) -> None:
        objective, module = built(name)
        nothing = objective.batch(samples(name), POSITIONS).nothing(2)
        assert objective.targets(nothing).tolist() == [0, 0]
        sums = objective.sums(module, nothing, 1.0)
        assert sums.loss.tolist() == [0.0, 0.0]
        assert float(sums.objective.detach()) == 0.0

    def test_goes_without_a_stand_in(self, name: str) -> None:
        objective, module = built(name)
        batch = objective.batch(without(samples(name), 4), POSITIONS)
        with_it = objective.targets(objective.batch(samples(name), POSITIONS))
        with_it[4] = 0
        assert torch.equal(objective.targets(batch), with_it)
        assert float(objective.sums(module, batch, 1.0).loss[4]) == 0.0

    def test_keeps_all_that_lasts_in_what_a_checkpoint_holds(self, name: str) -> None:
        objective, module = built(name)
        update(name, objective, module, Moment(0, 2 * SAMPLES))
        another, resumed = built(name)
        resumed.load_state_dict(module.state_dict())
        for one, each in ((objective, module), (another, resumed)):
            update(name, one, each, Moment(SAMPLES, 2 * SAMPLES))
        for key, tensor in module.state_dict().items():
            assert torch.equal(resumed.state_dict()[key], tensor), key

    def test_measures_without_a_trace(self, name: str) -> None:
        objective, module = built(name)
        before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
        module.eval()
        whole = objective.batch(samples(name), POSITIONS)
        with torch.no_grad():
            losses = objective.measure(module, Passes(whole, SAMPLES, 4, torch.device("cpu"), contextlib.nullcontext))
        assert losses.shape == (SAMPLES,)
        assert bool(losses.isfinite().all())
        assert all(parameter.grad is None for parameter in module.parameters())
        assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())

    def test_exports_a_model_of_transformers(self, name: str) -> None:
        objective, module = built(name)
        exported = objective.exported(module)
        assert isinstance(exported, PreTrainedModel)
        within = {id(parameter) for parameter in module.parameters()}
        assert all(id(parameter) in within for parameter in exported.parameters())


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.adds_up])
def test_what_adds_up_has_the_same_gradient_for_every_number_of_ranks(name: str) -> None:
    gradients: list[Tensor] = []
    for world in (1, 2, 3, 7):
        objective, module = built(name)
        gradients.append(world_steps.step(objective, module, samples(name), POSITIONS, world, micro=2)[0])
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=0, atol=1e-10)
