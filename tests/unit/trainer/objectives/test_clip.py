"""CLIP's loss is that of transformers and of the paper's formula, and the same whatever the number of ranks and micro-batches."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from PIL import Image
from support import ranks
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import AutoConfig, AutoModelForZeroShotImageClassification

from pretrain_api.types.model import Clip
from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.objectives import Moment, Passes
from pretrain_trainer.objectives.clip import ContrastivePretraining
from pretrain_trainer.objectives.pixels import normalised
from pretrain_trainer.tokenizer import LoadedTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

END, PADDING = 0, 1
WORDS = ["red", "green", "blue", "dark", "light", "square", "of", "a", "kind"]
SIZE, LENGTH = 16, 6
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 8,
}
CLIP = {
    "model_type": "clip", "projection_dim": 8,
    "vision_config": {**TOWER, "patch_size": 8, "image_size": SIZE},
    "text_config": {**TOWER, "vocab_size": 64, "max_position_embeddings": 8, "eos_token_id": END, "bos_token_id": END},
}  # fmt: skip


def a_tokenizer() -> LoadedTokenizer:
    vocabulary = {"<end>": END, "<padding>": PADDING} | {word: number for number, word in enumerate(WORDS, start=2)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="kind"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return LoadedTokenizer(tokenizer, END, PADDING, None, (), len(vocabulary), "")


def an_objective(seed: int = 5, **settings: float) -> ContrastivePretraining:
    return ContrastivePretraining(Clip(image_size=SIZE, **settings), a_tokenizer(), LENGTH, seed)


def a_model(dtype: torch.dtype = torch.float32, **text: Any) -> Any:
    torch.manual_seed(1)
    config = AutoConfig.for_model(**CLIP | {"text_config": {**CLIP["text_config"], **text}})
    return AutoModelForZeroShotImageClassification.from_config(config, dtype=dtype)


def an_image(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def some_samples(count: int, stand_ins: Sequence[int] = (), broken: Sequence[int] = ()) -> ImageSamples:
    """`broken` ones turn out to be none when they are decoded."""
    lengths = np.random.default_rng(7).integers(1, 9, count)
    captions = [" ".join(np.random.default_rng(row).choice(WORDS, length)) for row, length in enumerate(lengths)]
    images = [b"none" if row in broken else an_image(row) for row in range(count)]
    return ImageSamples(images, captions, np.isin(np.arange(count), stand_ins), lambda row, why: None)


def slices(samples: ImageSamples, world: int, micro: int) -> list[Passes]:
    """The ranks' parts of a global batch."""
    positions, found = np.arange(100, 100 + len(samples)), []
    for rank in range(world):
        own = rank_slice(len(samples), rank, world)
        batch = an_objective().batch(samples.rows(own), positions[own])
        found.append(Passes(batch, -(-len(samples) // world), micro, torch.device("cpu"), contextlib.nullcontext))
    return found


def step(module: Any, passes: Passes, targets: int) -> tuple[Tensor, Tensor]:
    """What one rank adds to the gradient [parameters], and the loss of each of its samples, as it learns and as it measures."""
    losses = an_objective().learn(module, passes, 1 / targets, Moment(0, 100))
    with torch.no_grad():
        measured = an_objective().measure(module, passes)
    return torch.cat([p.grad.flatten() for p in module.parameters()]), torch.stack([losses, measured])


def global_step(samples: ImageSamples, world: int, micro: int) -> tuple[Tensor, Tensor]:
    """Gradient and losses of a step in double precision, added up as between ranks."""
    parts, objective = slices(samples, world, micro), an_objective()
    targets = sum(int(objective.targets(part.whole).sum()) for part in parts)
    found = ranks.run(world, lambda rank: step(a_model(torch.float64), parts[rank], targets))
    gradients, losses = zip(*found, strict=True)
    return torch.stack(gradients).sum(dim=0), torch.cat(losses, dim=1)


class TestBatch:
    def test_captions_are_cut_and_end_with_the_end_of_text(self) -> None:
        samples = some_samples(3)
        samples.captions[:] = ["red", "light green square", "a kind of dark blue square of a kind"]
        tokens = an_objective().batch(samples, np.arange(3))["tokens"].tolist()
        ids = {word: number for number, word in enumerate(WORDS, start=2)}
        assert tokens[0] == [ids["red"], END] + [PADDING] * 4
        assert tokens[1] == [ids["light"], ids["green"], ids["square"], END, PADDING, PADDING]
        assert tokens[2] == [ids["a"], ids["kind"], ids["of"], ids["dark"], ids["blue"], END]

    def test_it_is_as_wide_as_its_longest_caption_and_without_any_as_captions_can_be(self) -> None:
        samples = some_samples(2)
        samples.captions[:] = ["red square", "blue"]
        assert an_objective().batch(samples, np.arange(2))["tokens"].shape == (2, 3)
        assert an_objective().batch(samples.rows(slice(2, 2)), np.arange(0))["tokens"].shape == (0, LENGTH)
        none = some_samples(2, stand_ins=(0, 1))
        assert an_objective().batch(none, np.arange(2))["tokens"].shape == (2, LENGTH)

    def test_a_sample_is_cut_alike_wherever_it_is_read_and_otherwise_at_another_position(self) -> None:
        samples, positions = some_samples(11), np.arange(1000, 1011)
        objective = an_objective(min_crop_area=0.3)
        whole = objective.batch(samples, positions)
        for world in (2, 3, 7):
            slices = [rank_slice(11, rank, world) for rank in range(world)]
            parts = [objective.batch(samples.rows(own), positions[own]) for own in slices]
            assert torch.equal(torch.cat([part["pixels"] for part in parts]), whole["pixels"])
            for part, own in zip(parts, slices, strict=True):
                width = part["tokens"].shape[1]
                assert torch.equal(part["tokens"], whole["tokens"][own, :width])
                assert (whole["tokens"][own, width:] == PADDING).all()
        assert not torch.equal(objective.batch(samples, positions + 1)["pixels"], whole["pixels"])
        assert not torch.equal(an_objective(6, min_crop_area=0.3).batch(samples, positions)["pixels"], whole["pixels"])

    def test_stand_ins_and_broken_images_do_not_count(self) -> None:
        objective = an_objective()
        batch = objective.batch(some_samples(5, stand_ins=(1,), broken=(3,)), np.arange(5))
        assert objective.targets(batch).tolist() == [1, 0, 1, 0, 1]
        assert objective.targets(batch.nothing(2)).tolist() == [0, 0]


class TestLoss:
    def test_loss_and_gradient_are_those_of_transformers(self) -> None:
        objective, ours, theirs = an_objective(), a_model(torch.float64), a_model(torch.float64)
        batch = objective.batch(some_samples(7), np.arange(7))
        sums = objective.sums(ours, batch, 1 / 7)
        sums.objective.backward()
        expected = theirs(
            pixel_values=normalised(batch["pixels"]),
            input_ids=batch["tokens"],
            attention_mask=(batch["tokens"] != PADDING).long(),
            return_loss=True,
        ).loss
        expected.backward()
        torch.testing.assert_close(sums.objective, expected, rtol=0, atol=1e-10)
        assert sums.loss.mean().item() == pytest.approx(expected.item(), rel=1e-6)
        for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")

    def test_loss_and_gradient_are_those_of_open_clip(self) -> None:
        objective, ours, theirs = an_objective(), a_model(torch.float64), a_model(torch.float64)
        batch = objective.batch(some_samples(7), np.arange(7))
        objective.sums(ours, batch, 1 / 7).objective.backward()
        images, captions = objective.features(theirs, batch).chunk(2, dim=1)
        ClipLoss()(images, captions, theirs.logit_scale.exp()).backward()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-10)

    def test_it_is_the_papers_formula(self) -> None:
        """Figure 3 of arXiv:2103.00020, by loops."""
        objective, model = an_objective(), a_model(torch.float64)
        batch = objective.batch(some_samples(5), np.arange(5))
        with torch.no_grad():
            images, captions = objective.features(model, batch).chunk(2, dim=1)
            found = objective.sums(model, batch, 1.0).loss
        logits = [[math.exp(model.logit_scale.item()) * float(i @ t) for t in captions] for i in images]
        for row in range(5):
            to_text = math.log(sum(math.exp(x) for x in logits[row])) - logits[row][row]
            to_image = math.log(sum(math.exp(line[row]) for line in logits)) - logits[row][row]
            assert found[row].item() == pytest.approx((to_text + to_image) / 2, abs=1e-5)

    @pytest.mark.parametrize("padding", [END, PADDING])
    def test_what_follows_the_end_of_text_is_not_seen(self, padding: int) -> None:
        objective, model = an_objective(), a_model(torch.float64)
        batch = objective.batch(some_samples(3), np.arange(3))
        longer = torch.cat([batch["tokens"], torch.full((3, 2), padding)], dim=1)
        one, other = (model.get_text_features(input_ids=t).pooler_output for t in (batch["tokens"], longer))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)

    def test_stand_ins_change_nothing_of_what_others_learn(self) -> None:
        objective, without = an_objective(), a_model(torch.float64)
        samples, positions = some_samples(9, stand_ins=(2, 7), broken=(4,)), np.arange(9)
        kept = np.array([0, 1, 3, 5, 6, 8])
        alone = ImageSamples(
            [samples.images[row] for row in kept],
            [samples.captions[row] for row in kept],
            np.zeros(len(kept), dtype=np.bool_),
            lambda row, why: None,
        )
        sums = objective.sums(without, objective.batch(alone, positions[kept]), 1 / 6)
        sums.objective.backward()
        with_them = a_model(torch.float64)
        passes = Passes(objective.batch(samples, positions), 9, 9, torch.device("cpu"), contextlib.nullcontext)
        losses = objective.learn(with_them, passes, 1 / 6, Moment(0, 9))
        torch.testing.assert_close(losses[kept], sums.loss)
        assert losses[[2, 4, 7]].tolist() == [0.0, 0.0, 0.0]
        for one, other in zip(without.parameters(), with_them.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-12)

    def test_a_batch_of_nothing_has_no_loss_and_no_gradient(self) -> None:
        objective, model = an_objective(), a_model()
        nothing = objective.batch(some_samples(2), np.arange(2)).nothing(2)
        sums = objective.sums(model, nothing, 1.0)
        sums.objective.backward()
        assert (sums.objective.item(), sums.loss.tolist()) == (0.0, [0.0, 0.0])
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.fixture(scope="module")
def alone() -> tuple[Tensor, Tensor]:
    """A step of one rank, which passes once."""
    return global_step(some_samples(11, stand_ins=(4,)), 1, 11)


class TestWorlds:
    @pytest.mark.parametrize("micro", [1, 2, 5, 11])
    @pytest.mark.parametrize("world", [1, 2, 3, 7])
    def test_loss_and_gradient_do_not_depend_on_ranks_and_micro_batches(
        self, alone: tuple[Tensor, Tensor], world: int, micro: int
    ) -> None:
        gradient, losses = global_step(some_samples(11, stand_ins=(4,)), world, micro)
        torch.testing.assert_close(gradient, alone[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(losses, alone[1], rtol=0, atol=1e-6)  # told in fp32
        torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-6)
        assert alone[0].abs().max() > 1e-3

    def test_a_rank_of_stand_ins_alone_keeps_step(self) -> None:
        samples = some_samples(4, stand_ins=(2, 3))
        gradient, losses = global_step(samples, 2, 1)
        expected, _ = global_step(samples, 1, 4)
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10)
        assert losses[:, 2:].tolist() == [[0.0, 0.0]] * 2

    def test_dropout_drops_the_same_in_both_passes(self) -> None:
        model, seen = a_model(torch.float64, attention_dropout=0.5).train(), list[Tensor]()
        model.text_model.register_forward_hook(lambda *given: seen.append(given[-1].pooler_output.detach()))
        step(model, *slices(some_samples(6), 1, micro=3), targets=6)
        first, second, first_again, second_again, measured, _ = seen
        assert torch.equal(first, first_again)
        assert torch.equal(second, second_again)
        assert not torch.equal(first, measured)


class TestTemperature:
    def test_cosines_are_multiplied_by_a_hundred_at_most(self) -> None:
        model = a_model()
        for before, after in ((10.0, math.log(100)), (2.5, 2.5)):
            torch.nn.init.constant_(model.logit_scale, before)
            an_objective().after_update(model, Moment(0, 1))
            assert model.logit_scale.item() == pytest.approx(after, rel=1e-6)
